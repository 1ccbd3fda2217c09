//! The bodies of functions: scopes, registers, local memory, labels, the parameters of calls.

use std::collections::HashMap;

use super::names::{Names, Symbol};
use super::{Error, Fault, layout};
use crate::count;
use crate::exec::op::{Action, CALL_PARAMETERS, Callable, Moves, Op, Place, Touched};
use crate::exec::registers::Sizes;
use crate::parse::syntax::{Function, Module, Space, Statement, Variable};

/// Where a function takes its parameters and leaves its results.
pub(super) struct Signature {
    pub(super) parameters: Vec<Place>,
    pub(super) results: Vec<Place>,
    pub(super) symbols: Vec<(String, Symbol)>,
    /// Registers and local memory that these take: before, after.
    pub(super) taken: [(Sizes, u64); 2],
}

pub(super) struct Builder<'a> {
    pub(super) module: &'a Module,
    pub(super) names: Names,
    pub(super) ops: Vec<Op>,
    /// Labels of the open scopes, by their index in `places`.
    pub(super) labels: Vec<HashMap<String, usize>>,
    /// Where labels are.
    pub(super) places: Vec<Option<usize>>,
    /// `.branchtargets` of the open scopes.
    pub(super) prototypes: Vec<HashMap<String, Vec<String>>>,
    pub(super) functions: Vec<Option<Callable>>,
    pub(super) local: u64,
    pub(super) shared: u64,
    /// Where dynamic shared memory begins.
    pub(super) dynamic: u64,
    pub(super) recursive: bool,
}

impl Builder<'_> {
    pub(super) fn shared(&mut self, variable: &Variable) -> Result<(), Fault> {
        let (address, size) = layout::place(&mut self.shared, variable)?;
        self.names.declare(&variable.name, Symbol::Variable { space: Space::Shared, address, size })
    }

    /// A parameter of a function that is called.
    pub(super) fn formal(&mut self, variable: &Variable) -> Result<(Place, (String, Symbol)), Fault> {
        if variable.space == Space::Reg {
            let ty = layout::element(variable)?;
            let slot = self.names.scratch(ty);
            return Ok((Place::Register(slot), (variable.name.clone(), Symbol::Register(slot, ty))));
        }
        let (offset, size) = layout::place(&mut self.local, variable)?;
        let symbol = Symbol::Variable { space: Space::Param, address: CALL_PARAMETERS + offset, size };
        Ok((Place::Local(offset as usize, size as usize), (variable.name.clone(), symbol)))
    }

    pub(super) fn signature(&mut self, function: &Function) -> Result<Signature, Fault> {
        let before = (self.names.sizes(), self.local);
        let taken = [before; 2];
        let mut signature = Signature { parameters: Vec::new(), results: Vec::new(), symbols: Vec::new(), taken };
        for variable in &function.parameters {
            let (place, symbol) = self.formal(variable)?;
            signature.parameters.push(place);
            signature.symbols.push(symbol);
        }
        for variable in &function.results {
            let (place, symbol) = self.formal(variable)?;
            signature.results.push(place);
            signature.symbols.push(symbol);
        }
        signature.taken[1] = (self.names.sizes(), self.local);
        Ok(signature)
    }

    /// Decodes a body. A kernel's parameters are the launch's; gives their places.
    pub(super) fn function(
        &mut self,
        function: &Function,
        own: &HashMap<(usize, String), Symbol>,
        called: Option<(usize, Signature)>,
    ) -> Result<(Vec<(usize, usize)>, usize), Error> {
        let at = |fault| Error { line: function.line, fault };
        let entry = self.ops.len();
        self.names.enter();
        let (mut parameters, mut end) = (Vec::new(), 0);
        let before = (self.names.sizes(), self.local);
        if let Some((_, signature)) = &called {
            for (name, symbol) in &signature.symbols {
                self.names.declare(name, symbol.clone()).map_err(at)?;
            }
        } else {
            for variable in &function.parameters {
                let (address, size) = layout::place(&mut end, variable).map_err(at)?;
                parameters.push((address as usize, size as usize));
                let symbol = Symbol::Variable { space: Space::Param, address, size };
                self.names.declare(&variable.name, symbol).map_err(at)?;
            }
        }
        self.block(function.body.as_deref().unwrap_or_default(), own)?;
        let last = function.line;
        let touched = Box::new(Touched { reads: Vec::new(), writes: Vec::new(), moves: Moves::Uses });
        let (text, action, class) = ("ret".to_owned(), Action::Return, count::Class::Branch);
        self.ops.push(Op { line: last, text, guard: None, action, class, float: None, touched });
        self.resolve(entry);
        self.names.leave();
        if let Some((number, signature)) = called {
            self.functions[number] = Some(Callable {
                name: function.name.clone(),
                entry,
                parameters: signature.parameters,
                results: signature.results,
                recursive: self.recursive,
                taken: [signature.taken, [before, (self.names.sizes(), self.local)]],
            });
        }
        Ok((parameters, end as usize))
    }

    /// Puts places for labels, in the code from an index on.
    pub(super) fn resolve(&mut self, entry: usize) {
        let places = &self.places;
        let place = |label: &mut usize| *label = places[*label].unwrap_or(usize::MAX);
        for op in &mut self.ops[entry..] {
            match &mut op.action {
                Action::Branch(label) => place(label),
                Action::Table(_, labels) => labels.iter_mut().for_each(place),
                _ => {}
            }
        }
    }

    pub(super) fn block(
        &mut self,
        statements: &[Statement],
        own: &HashMap<(usize, String), Symbol>,
    ) -> Result<(), Error> {
        let (mut labels, mut targets_of) = (HashMap::new(), HashMap::new());
        for (at, statement) in statements.iter().enumerate() {
            match statement {
                Statement::Label(name) => {
                    if labels.insert(name.clone(), self.places.len()).is_some() {
                        let line = statements[at..].iter().find_map(|next| match next {
                            Statement::Instruction(instruction) => Some(instruction.line),
                            _ => None,
                        });
                        return Err(Error { line: line.unwrap_or(1), fault: Fault::Duplicate(name.clone()) });
                    }
                    self.places.push(None);
                }
                Statement::Targets { name, targets } => {
                    targets_of.insert(name.clone(), targets.clone());
                }
                _ => {}
            }
        }
        self.labels.push(labels);
        self.prototypes.push(targets_of);
        for statement in statements {
            match statement {
                Statement::Label(name) => {
                    let here = self.ops.len();
                    if let Some(place) = self.labels.last().and_then(|labels| labels.get(name)) {
                        self.places[*place] = Some(here);
                    }
                }
                Statement::Variable(variable) => {
                    let own = own.get(&(variable.line, variable.name.clone()));
                    self.variable(variable, own).map_err(|fault| Error { line: variable.line, fault })?;
                }
                Statement::Instruction(instruction) => {
                    self.instruction(instruction).map_err(|fault| Error { line: instruction.line, fault })?;
                }
                Statement::Block(block) => {
                    self.names.enter();
                    self.block(block, own)?;
                    self.names.leave();
                }
                Statement::Targets { .. } | Statement::Prototype { .. } => {}
            }
        }
        self.labels.pop();
        self.prototypes.pop();
        Ok(())
    }

    pub(super) fn variable(&mut self, variable: &Variable, own: Option<&Symbol>) -> Result<(), Fault> {
        match variable.space {
            Space::Reg => {
                let ty = layout::element(variable)?;
                let one = |names: &mut Names, name: &str| {
                    let symbol = if variable.vector > 1 {
                        Symbol::Vector((0..variable.vector).map(|_| names.scratch(ty)).collect(), ty)
                    } else {
                        Symbol::Register(names.scratch(ty), ty)
                    };
                    names.declare(name, symbol)
                };
                match variable.count {
                    None => one(&mut self.names, &variable.name),
                    Some(count) => {
                        (0..count).try_for_each(|index| one(&mut self.names, &format!("{}{index}", variable.name)))
                    }
                }
            }
            Space::Local if self.recursive => {
                // all calls of a function have their variables at one place, and a pointer to them could not tell which it means
                Err(Fault::Unsupported("a .local variable in a function that can call itself".to_owned()))
            }
            Space::Local | Space::Param => {
                let (offset, size) = layout::place(&mut self.local, variable)?;
                let base = if variable.space == Space::Param { CALL_PARAMETERS } else { 0 };
                let symbol = Symbol::Variable { space: variable.space, address: base + offset, size };
                self.names.declare(&variable.name, symbol)
            }
            Space::Shared => {
                let end = self.dynamic;
                let dynamic = Symbol::Variable { space: Space::Shared, address: end, size: 0 };
                self.names.declare(&variable.name, own.cloned().unwrap_or(dynamic))
            }
            Space::Global | Space::Const => Err(Fault::Unsupported("a .global variable in a function".to_owned())),
        }
    }
}
