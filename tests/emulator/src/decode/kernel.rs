//! A kernel and the functions that it reaches, decoded into one piece of code.

use std::collections::HashMap;

use super::names::{Names, Symbol, written};
use super::types::{Kind, Type};
use super::{Error, Fault, atomic, control, features, layout, memory};
use crate::count;
use crate::exec::op::{Action, CALL_PARAMETERS, Call, Callable, Code, Op, Place};
use crate::exec::registers::{Sizes, Slot};
use crate::parse::syntax::{Function, Instruction, Module, Operand, Space, Statement, Variable};
use crate::{alu, warp};

/// `CUresult` of a failed assertion in a kernel.
const ASSERT: u32 = 710;

/// A decoded kernel and its sizes.
pub(crate) struct Decoded {
    pub(crate) code: Code,
    /// Bytes of shared memory that it declares; dynamic shared memory begins here.
    pub(crate) shared: u64,
    /// Offset and size of each parameter, and the end of the last.
    pub(crate) parameters: Vec<(usize, usize)>,
    pub(crate) parameter_bytes: usize,
}

/// Decodes a kernel. `globals` are the variables of the module that have addresses; `sm` is the device.
pub(crate) fn decode(
    module: &Module,
    kernel: usize,
    globals: &HashMap<String, Symbol>,
    target: u32,
    sm: u32,
) -> Result<Decoded, Error> {
    let function = &module.functions[kernel];
    let at = |fault| Error { line: function.line, fault };
    let reach = layout::reach(module, kernel);
    let mut names = Names::new(target, module.version);
    names.sm = sm;
    for (name, symbol) in globals {
        names.declare(name, symbol.clone()).map_err(at)?;
    }
    for (number, function) in module.functions.iter().enumerate() {
        // a declaration before its definition is the same function
        if function.body.is_some() || names.find(&function.name).is_err() {
            names.declare(&function.name, Symbol::Function(number)).ok();
        }
    }
    let mut builder = Builder {
        module,
        names,
        ops: Vec::new(),
        labels: Vec::new(),
        places: Vec::new(),
        prototypes: Vec::new(),
        functions: vec![None; module.functions.len()],
        local: 0,
        shared: 0,
        recursive: false,
    };
    // Shared memory first: where the dynamic part begins must be known before its address is used.
    for variable in layout::shared(module, &reach).filter(|variable| !layout::dynamic(variable)) {
        builder.shared(variable).map_err(|fault| Error { line: variable.line, fault })?;
    }
    let mut own = HashMap::new();
    for number in &reach.functions {
        own_shared(module.functions[*number].body.as_deref().unwrap_or_default(), &mut |variable| {
            let (address, size) =
                layout::place(&mut builder.shared, variable).map_err(|fault| Error { line: variable.line, fault })?;
            own.insert(
                (variable.line, variable.name.clone()),
                Symbol::Variable { space: Space::Shared, address, size },
            );
            Ok(())
        })?;
    }
    let dynamic = builder.shared.next_multiple_of(16);
    for variable in layout::shared(module, &reach).filter(|variable| layout::dynamic(variable)) {
        let symbol = Symbol::Variable { space: Space::Shared, address: dynamic, size: 0 };
        builder.names.declare(&variable.name, symbol).ok();
    }
    // Callees before callers would do as well; places of parameters are known before any body is decoded.
    let mut signatures = HashMap::new();
    for &number in reach.functions.iter().filter(|number| **number != kernel) {
        let called = &module.functions[number];
        let signature = builder.signature(called).map_err(|fault| Error { line: called.line, fault })?;
        signatures.insert(number, signature);
    }
    let cycles = cyclic(module, &reach);
    let (parameters, parameter_bytes) = builder.function(function, &own, None)?;
    for (number, signature) in signatures {
        builder.recursive = cycles.contains(&number);
        builder.function(&module.functions[number], &own, Some((number, signature)))?;
    }
    let shared = builder.shared;
    let granules = granules(&builder.ops);
    let sizes = builder.names.sizes();
    let constants = builder.names.constants().collect();
    let specials = builder.names.specials().map(|(name, slot)| (name.to_owned(), slot)).collect();
    let code = Code {
        ops: builder.ops,
        sizes,
        constants,
        specials,
        functions: builder.functions,
        local: builder.local as usize,
        global_granule: granules[0],
        shared_granule: granules[1],
    };
    Ok(Decoded { code, shared, parameters, parameter_bytes })
}

/// Shared variables that bodies declare.
fn own_shared(statements: &[Statement], found: &mut impl FnMut(&Variable) -> Result<(), Error>) -> Result<(), Error> {
    for statement in statements {
        match statement {
            Statement::Variable(variable) if variable.space == Space::Shared && !layout::dynamic(variable) => {
                found(variable)?;
            }
            Statement::Block(block) => own_shared(block, found)?,
            _ => {}
        }
    }
    Ok(())
}

/// Functions that can be called again before they return; a call through a pointer may be to any.
fn cyclic(module: &Module, reach: &layout::Reach) -> Vec<usize> {
    let reaches = |from: usize, to: usize| layout::reach_of_body(module, from).contains(&to);
    reach.functions.iter().copied().filter(|number| reaches(*number, *number)).collect()
}

/// The narrowest accesses to global and to shared memory; 4 bytes where all are wider, for words are what most share.
fn granules(ops: &[Op]) -> [usize; 2] {
    let mut narrowest = [4usize; 2];
    let mut note = |space: Option<Space>, size: usize| match space {
        Some(Space::Global) => narrowest[0] = narrowest[0].min(size),
        Some(Space::Shared) => narrowest[1] = narrowest[1].min(size),
        None => narrowest = narrowest.map(|least| least.min(size)),
        _ => {}
    };
    for op in ops {
        match &op.action {
            Action::Load(load) => note(load.address.space, load.ty.bytes() as usize * load.into.len()),
            Action::Store(store) => note(store.address.space, store.ty.bytes() as usize * store.from.len()),
            Action::Atomic(atomic) => note(atomic.address.space, atomic.size),
            _ => {}
        }
    }
    narrowest
}

/// Where a function takes its parameters and leaves its results.
struct Signature {
    parameters: Vec<Place>,
    results: Vec<Place>,
    symbols: Vec<(String, Symbol)>,
    /// Registers and local memory that these take: before, after.
    taken: [(Sizes, u64); 2],
}

struct Builder<'a> {
    module: &'a Module,
    names: Names,
    ops: Vec<Op>,
    /// Labels of the open scopes, by their index in `places`.
    labels: Vec<HashMap<String, usize>>,
    /// Where labels are.
    places: Vec<Option<usize>>,
    /// `.branchtargets` of the open scopes.
    prototypes: Vec<HashMap<String, Vec<String>>>,
    functions: Vec<Option<Callable>>,
    local: u64,
    shared: u64,
    recursive: bool,
}

impl Builder<'_> {
    fn shared(&mut self, variable: &Variable) -> Result<(), Fault> {
        let (address, size) = layout::place(&mut self.shared, variable)?;
        self.names.declare(&variable.name, Symbol::Variable { space: Space::Shared, address, size })
    }

    /// A parameter of a function that is called.
    fn formal(&mut self, variable: &Variable) -> Result<(Place, (String, Symbol)), Fault> {
        if variable.space == Space::Reg {
            let ty = layout::element(variable)?;
            let slot = self.names.scratch(ty);
            return Ok((Place::Register(slot), (variable.name.clone(), Symbol::Register(slot, ty))));
        }
        let (offset, size) = layout::place(&mut self.local, variable)?;
        let symbol = Symbol::Variable { space: Space::Param, address: CALL_PARAMETERS + offset, size };
        Ok((Place::Local(offset as usize, size as usize), (variable.name.clone(), symbol)))
    }

    fn signature(&mut self, function: &Function) -> Result<Signature, Fault> {
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
    fn function(
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
        self.push(last, "ret".to_owned(), None, Action::Return, count::Class::Branch, None);
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
    fn resolve(&mut self, entry: usize) {
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

    fn block(&mut self, statements: &[Statement], own: &HashMap<(usize, String), Symbol>) -> Result<(), Error> {
        let (mut labels, mut targets_of) = (HashMap::new(), HashMap::new());
        for statement in statements {
            match statement {
                Statement::Label(name) => {
                    labels.insert(name.clone(), self.places.len());
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

    fn variable(&mut self, variable: &Variable, own: Option<&Symbol>) -> Result<(), Fault> {
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
            Space::Local | Space::Param => {
                let (offset, size) = layout::place(&mut self.local, variable)?;
                let base = if variable.space == Space::Param { CALL_PARAMETERS } else { 0 };
                let symbol = Symbol::Variable { space: variable.space, address: base + offset, size };
                self.names.declare(&variable.name, symbol)
            }
            Space::Shared => {
                let end = self.shared.next_multiple_of(16);
                let dynamic = Symbol::Variable { space: Space::Shared, address: end, size: 0 };
                self.names.declare(&variable.name, own.cloned().unwrap_or(dynamic))
            }
            Space::Global | Space::Const => Err(Fault::Unsupported("a .global variable in a function".to_owned())),
        }
    }

    fn push(
        &mut self,
        line: usize,
        text: String,
        guard: Option<(Slot, bool)>,
        action: Action,
        class: count::Class,
        float: Option<(Vec<Slot>, Type)>,
    ) {
        self.ops.push(Op { line, text, guard, action, class, float });
    }

    fn instruction(&mut self, instruction: &Instruction) -> Result<(), Fault> {
        features::check(instruction, self.names.target, self.names.version)?;
        let guard = match &instruction.guard {
            None => None,
            Some((name, negated)) => {
                let name = Operand::Name { name: name.clone(), offset: 0 };
                Some((self.names.source(instruction, &name, Type::Pred)?, *negated))
            }
        };
        let action = self.action(instruction)?;
        let float = self.float(instruction);
        let class = count::class(instruction);
        self.push(instruction.line, written(instruction), guard, action, class, float);
        Ok(())
    }

    fn action(&mut self, instruction: &Instruction) -> Result<Action, Fault> {
        match instruction.name.as_str() {
            "bra" => return Ok(Action::Branch(self.label(instruction, 0)?)),
            "brx" => return self.table(instruction),
            "call" => return self.call(instruction),
            "ret" => return Ok(Action::Return),
            _ => {}
        }
        let names = &mut self.names;
        if let Some(action) = control::decode(instruction, names)? {
            return Ok(action);
        }
        if let Some(action) = memory::decode(instruction, names)? {
            return Ok(action);
        }
        if let Some(action) = atomic::decode(instruction, names)? {
            return Ok(action);
        }
        if let Some(lanes) = alu::decode(instruction, names)? {
            return Ok(Action::Lanes(lanes));
        }
        if let Some(collective) = warp::decode(instruction, names)? {
            return Ok(Action::Collective(collective));
        }
        Err(Fault::Unknown(written(instruction)))
    }

    fn find_label(&self, name: &str) -> Result<usize, Fault> {
        let found = self.labels.iter().rev().find_map(|labels| labels.get(name));
        found.copied().ok_or_else(|| Fault::Symbol(name.to_owned()))
    }

    fn label(&self, instruction: &Instruction, operand: usize) -> Result<usize, Fault> {
        match instruction.operands.get(operand) {
            Some(Operand::Name { name, offset: 0 }) => self.find_label(name),
            _ => Err(Fault::Arguments(written(instruction))),
        }
    }

    fn table(&mut self, instruction: &Instruction) -> Result<Action, Fault> {
        let index = self.names.source(instruction, memory::operand(instruction, 0)?, Type::U32)?;
        let Some(Operand::Name { name, .. }) = instruction.operands.get(1) else {
            return Err(Fault::Arguments(written(instruction)));
        };
        let targets = self.prototypes.iter().rev().find_map(|targets| targets.get(name));
        let targets = targets.cloned().ok_or_else(|| Fault::Symbol(name.clone()))?;
        let targets = targets.iter().map(|target| self.find_label(target)).collect::<Result<_, _>>()?;
        Ok(Action::Table(index, targets))
    }

    /// `call (results), function, (arguments), prototype;` with lists left out where they are empty.
    fn call(&mut self, instruction: &Instruction) -> Result<Action, Fault> {
        let arguments = || Fault::Arguments(written(instruction));
        let at = instruction.operands.iter().position(|operand| matches!(operand, Operand::Name { .. }));
        let at = at.ok_or_else(arguments)?;
        let Operand::Name { name, .. } = &instruction.operands[at] else { return Err(arguments()) };
        let list = |operand: Option<&Operand>| match operand {
            Some(Operand::List(all)) => all.clone(),
            _ => Vec::new(),
        };
        let (given_results, given) = (
            if at > 0 { list(instruction.operands.first()) } else { Vec::new() },
            list(instruction.operands.get(at + 1)),
        );
        let function = match self.names.find(name)?.clone() {
            Symbol::Function(number) => {
                let called = &self.module.functions[number];
                if called.body.is_none() {
                    return match name.as_str() {
                        "__assertfail" => Ok(Action::Trap(ASSERT)),
                        _ => Err(Fault::Symbol(name.clone())),
                    };
                }
                if called.parameters.len() != given.len() || called.results.len() != given_results.len() {
                    return Err(arguments());
                }
                self.names.constant(Type::B64, number as u64)
            }
            Symbol::Register(slot @ Slot::Long(_), _) => slot,
            _ => return Err(arguments()),
        };
        let mut places = |operands: &[Operand]| {
            operands.iter().map(|operand| self.place(instruction, operand)).collect::<Result<Vec<_>, Fault>>()
        };
        let (arguments, results) = (places(&given)?, places(&given_results)?);
        Ok(Action::Call(Call { function, arguments, results }))
    }

    fn place(&mut self, instruction: &Instruction, operand: &Operand) -> Result<Place, Fault> {
        match operand {
            Operand::Name { name, offset: 0 } => match self.names.find(name)?.clone() {
                Symbol::Variable { space: Space::Param, address, size } if memory::of_a_call(address) => {
                    Ok(Place::Local((address - CALL_PARAMETERS) as usize, size as usize))
                }
                Symbol::Register(slot, _) => Ok(Place::Register(slot)),
                _ => Err(Fault::Arguments(written(instruction))),
            },
            Operand::Number(_) => Ok(Place::Register(self.names.source(instruction, operand, Type::B32)?)),
            _ => Err(Fault::Arguments(written(instruction))),
        }
    }

    /// The fractions that an instruction computes, to be watched for the first that is not finite.
    fn float(&mut self, instruction: &Instruction) -> Option<(Vec<Slot>, Type)> {
        const COMPUTE: &[&str] =
            &["add", "sub", "mul", "fma", "mad", "div", "rcp", "sqrt", "rsqrt", "ex2", "lg2", "cvt", "tanh", "mma"];
        if !COMPUTE.contains(&instruction.name.as_str()) {
            return None;
        }
        let ty = instruction.modifiers.iter().find_map(|word| Type::named(word))?;
        let packed = matches!(ty, Type::F16x2 | Type::Bf16 | Type::Bf16x2);
        if ty.kind() != Kind::Float && !packed {
            return None;
        }
        // a fragment of halves is packed in words
        let ty = if instruction.name == "mma" && ty == Type::F16 { Type::F16x2 } else { ty };
        let elements = self.names.elements(instruction.operands.first()?).ok()?;
        let slots = elements.iter().filter_map(|element| match element {
            Operand::Name { name, .. } => match self.names.find(name) {
                Ok(Symbol::Register(slot, _)) => Some(*slot),
                _ => None,
            },
            _ => None,
        });
        Some((slots.collect(), ty))
    }
}
