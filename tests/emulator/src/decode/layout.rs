//! Where variables lie: what a function reaches, its shared memory in one piece, elements and bytes of initial values.

use std::collections::{BTreeSet, HashMap};

use super::Fault;
use super::types::Type;
use crate::parse::syntax::{Initial, Linkage, Module, Number, Operand, Space, Statement, Variable};

/// More than any variable has.
const LARGEST: u64 = 1 << 40;

/// Bytes of a variable; 0 for one whose size the launch gives.
pub(crate) fn size(variable: &Variable) -> Result<u64, Fault> {
    let element = element(variable)?.bytes() * variable.vector as u64;
    let sizes = variable.dimensions.iter().enumerate().map(|(index, dimension)| match dimension {
        Some(size) => *size,
        None if index == 0 => variable.initial.len() as u64,
        None => 0,
    });
    let size = sizes.into_iter().try_fold(element, u64::checked_mul).filter(|size| *size <= LARGEST);
    size.ok_or_else(|| Fault::Unsupported(format!("a variable of more than {LARGEST} bytes, {}", variable.name)))
}

/// The type of a variable's elements.
pub(crate) fn element(variable: &Variable) -> Result<Type, Fault> {
    if matches!(variable.ty.as_str(), "texref" | "samplerref" | "surfref") {
        return Err(Fault::Unsupported(format!(".{}", variable.ty)));
    }
    match Type::named(&variable.ty) {
        Some(Type::B128) => Err(Fault::Unsupported(".b128".to_owned())),
        ty => ty.ok_or_else(|| Fault::Unknown(format!(".{}", variable.ty))),
    }
}

/// The alignment of a variable, by default that of its elements.
pub(crate) fn align(variable: &Variable) -> Result<u64, Fault> {
    let natural = element(variable)?.bytes() * variable.vector as u64;
    Ok(variable.align.unwrap_or(natural).max(1))
}

/// The next place for a variable after so many bytes.
pub(crate) fn place(end: &mut u64, variable: &Variable) -> Result<(u64, u64), Fault> {
    let size = size(variable)?;
    let address = end.next_multiple_of(align(variable)?);
    *end = address + size;
    Ok((address, size))
}

/// Everything that one kernel can reach.
pub(crate) struct Reach {
    /// Functions, by number, the kernel among them.
    pub(crate) functions: BTreeSet<usize>,
    /// Names that stand as operands anywhere in them.
    pub(crate) names: BTreeSet<String>,
}

/// Follows calls, addresses of functions, and functions in the initial values of variables.
pub(crate) fn reach(module: &Module, kernel: usize) -> Reach {
    let numbers: HashMap<&str, usize> = module
        .functions
        .iter()
        .enumerate()
        // a definition counts before a declaration
        .filter(|(_, function)| function.body.is_some())
        .map(|(number, function)| (function.name.as_str(), number))
        .collect();
    let mut reach = Reach { functions: BTreeSet::new(), names: BTreeSet::new() };
    let mut next = vec![kernel];
    for variable in &module.variables {
        initial_names(&variable.initial, &mut |name| next.extend(numbers.get(name)));
    }
    while let Some(number) = next.pop() {
        if !reach.functions.insert(number) {
            continue;
        }
        let body = module.functions[number].body.as_deref().unwrap_or_default();
        operand_names(body, &mut |name| {
            if reach.names.insert(name.to_owned()) {
                next.extend(numbers.get(name));
            }
        });
    }
    reach
}

/// Whether a function calls one that only a register names.
pub(crate) fn calls_pointer(module: &Module, function: usize) -> bool {
    fn any(module: &Module, statements: &[Statement]) -> bool {
        let named = |operand: &Operand| match operand {
            Operand::Name { name, .. } => module.functions.iter().any(|function| function.name == *name),
            _ => false,
        };
        statements.iter().any(|statement| match statement {
            Statement::Instruction(call) if call.name == "call" => !call.operands.iter().any(named),
            Statement::Block(block) => any(module, block),
            _ => false,
        })
    }
    any(module, module.functions[function].body.as_deref().unwrap_or_default())
}

/// Functions that a function reaches, itself only where a call leads back to it.
pub(crate) fn reach_of_body(module: &Module, from: usize) -> BTreeSet<usize> {
    let named = |number: usize| {
        let mut called = BTreeSet::new();
        operand_names(module.functions[number].body.as_deref().unwrap_or_default(), &mut |name| {
            called
                .extend(module.functions.iter().position(|function| function.name == name && function.body.is_some()));
        });
        called
    };
    let mut found = BTreeSet::new();
    let mut next: Vec<usize> = named(from).into_iter().collect();
    while let Some(number) = next.pop() {
        if found.insert(number) {
            next.extend(named(number));
        }
    }
    found
}

fn initial_names(values: &[Initial], found: &mut impl FnMut(&str)) {
    for value in values {
        match value {
            Initial::Address { name, .. } => found(name),
            Initial::List(values) => initial_names(values, found),
            Initial::Number(_) => {}
        }
    }
}

fn operand_names(statements: &[Statement], found: &mut impl FnMut(&str)) {
    for statement in statements {
        match statement {
            Statement::Instruction(instruction) => {
                instruction.operands.iter().for_each(|operand| names_of(operand, found));
            }
            Statement::Block(block) => operand_names(block, found),
            Statement::Targets { targets, .. } => targets.iter().for_each(|name| found(name)),
            _ => {}
        }
    }
}

fn names_of(operand: &Operand, found: &mut impl FnMut(&str)) {
    match operand {
        Operand::Name { name, .. } | Operand::Address { base: Some(name), .. } => found(name),
        Operand::Vector(all) | Operand::List(all) => all.iter().for_each(|operand| names_of(operand, found)),
        Operand::Both(first, second) => {
            names_of(first, found);
            names_of(second, found);
        }
        _ => {}
    }
}

/// The shared variables of the module that a kernel uses: names, offsets and sizes, and the end of those with a size. Those whose size the
/// launch gives all begin behind the end, which later declarations in functions may still move.
pub(crate) fn shared<'a>(module: &'a Module, reach: &Reach) -> impl Iterator<Item = &'a Variable> {
    let used: Vec<&Variable> = module
        .variables
        .iter()
        .filter(|variable| variable.space == Space::Shared && reach.names.contains(&variable.name))
        .collect();
    used.into_iter()
}

/// Whether a shared variable's size is the launch's to give.
pub(crate) fn dynamic(variable: &Variable) -> bool {
    variable.linkage == Linkage::Extern
}

/// The bytes of initial values; addresses by a function that knows them.
pub(crate) fn bytes(variable: &Variable, address_of: &impl Fn(&str) -> Result<u64, Fault>) -> Result<Vec<u8>, Fault> {
    let element = element(variable)?;
    let mut bytes = Vec::new();
    fill(&variable.initial, element, address_of, &mut bytes)?;
    bytes.resize(size(variable)? as usize, 0);
    Ok(bytes)
}

fn fill(
    values: &[Initial],
    ty: Type,
    address_of: &impl Fn(&str) -> Result<u64, Fault>,
    bytes: &mut Vec<u8>,
) -> Result<(), Fault> {
    for value in values {
        let bits = match value {
            Initial::List(values) => {
                fill(values, ty, address_of, bytes)?;
                continue;
            }
            Initial::Address { name, offset, .. } => address_of(name)?.wrapping_add_signed(*offset),
            Initial::Number(number) => match (*number, ty) {
                (Number::Single(bits), Type::F64) => f64::from(f32::from_bits(bits)).to_bits(),
                (Number::Double(bits), Type::F32) => u64::from((f64::from_bits(bits) as f32).to_bits()),
                (Number::Int(value), Type::F32) => u64::from((value as f32).to_bits()),
                (Number::Int(value), Type::F64) => (value as f64).to_bits(),
                (Number::Int(value), _) => value.cast_unsigned(),
                (Number::Unsigned(bits) | Number::Double(bits), _) => bits,
                (Number::Single(bits), _) => u64::from(bits),
            },
        };
        bytes.extend_from_slice(&bits.to_le_bytes()[..ty.bytes() as usize]);
    }
    Ok(())
}
