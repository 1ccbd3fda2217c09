//! A kernel and the functions that it reaches, decoded into one piece of code.

use std::collections::HashMap;

use super::body::Builder;
use super::names::{Names, Symbol};
use super::{Error, Fault, layout};
use crate::exec::op::{Action, Code, Op};
use crate::parse::syntax::{Module, Space, Statement, Variable};

/// The most static shared memory: a recorded H100 loads 49153 bytes, and no card has more than this.
const LARGEST_SHARED: u64 = 227 << 10;
/// The most local memory of a thread (CUDA C++ Programming Guide, "Technical Specifications per Compute Capability").
const LARGEST_LOCAL: usize = 512 << 10;

/// A decoded kernel and its sizes.
pub(crate) struct Decoded {
    pub(crate) code: Code,
    /// Bytes of shared memory that it declares; dynamic shared memory comes behind.
    pub(crate) shared: u64,
    /// Where dynamic shared memory begins.
    pub(crate) dynamic: u64,
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
        dynamic: 0,
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
    let aligns = layout::shared(module, &reach).filter(|variable| layout::dynamic(variable));
    let align = aligns.filter_map(|variable| layout::align(variable).ok()).fold(16, u64::max);
    let dynamic = builder.shared.next_multiple_of(align);
    builder.dynamic = dynamic;
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
    if shared > LARGEST_SHARED || code.local > LARGEST_LOCAL {
        let what = format!("{shared} bytes of shared and {} of local memory", code.local);
        return Err(at(Fault::Unsupported(what)));
    }
    Ok(Decoded { code, shared, dynamic, parameters, parameter_bytes })
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
    if reach.functions.iter().any(|number| layout::calls_pointer(module, *number)) {
        return reach.functions.iter().copied().collect();
    }
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
            Action::Atomics(all) => all.iter().for_each(|atomic| note(atomic.address.space, atomic.size)),
            Action::Mbarrier(_) => note(Some(Space::Shared), 8),
            _ => {}
        }
    }
    narrowest
}
