//! Instructions that access memory: `ld`, `st`, `cp.async`, `ldmatrix`, `stmatrix`, addresses and hints. Not here: atomics (`atomic`).

use super::Fault;
use super::names::{Names, Symbol, written};
use super::types::Type;
use crate::exec::op::{
    Action, Address, CALL_PARAMETERS, Copy, LOCAL_WINDOW, Load, Matrix, SHARED_WINDOW, Store, WINDOW,
};
use crate::exec::registers::{LANES, Slot};
use crate::parse::syntax::{Instruction, Operand, Space};

/// Decodes an instruction; None when it is of another family.
pub(super) fn decode(instruction: &Instruction, names: &mut Names) -> Result<Option<Action>, Fault> {
    Ok(Some(match instruction.name.as_str() {
        "ld" | "ldu" => load(instruction, names)?,
        "st" => store(instruction, names)?,
        "cp" => copy(instruction, names)?,
        "ldmatrix" => Action::LoadMatrix(matrix(instruction, names)?),
        "stmatrix" => Action::StoreMatrix(matrix(instruction, names)?),
        "cvta" => convert_address(instruction, names)?,
        "isspacep" => is_space(instruction, names)?,
        "prefetch" | "prefetchu" | "discard" | "applypriority" => Action::Nothing,
        "createpolicy" => {
            let into = operand(instruction, 0)?;
            let into = names.destination(instruction, into, Type::B64)?;
            Action::Lanes(Box::new(move |registers, mask| registers.write(into, &[0u64; LANES], mask)))
        }
        _ => return Ok(None),
    }))
}

/// An operand, which the instruction must have.
pub(super) fn operand(instruction: &Instruction, index: usize) -> Result<&Operand, Fault> {
    instruction.operands.get(index).ok_or_else(|| Fault::Arguments(written(instruction)))
}

/// What the modifiers of a memory instruction say.
#[derive(Default)]
pub(super) struct Modifiers {
    pub(super) space: Option<Space>,
    pub(super) ty: Option<Type>,
    pub(super) vector: usize,
    constant: bool,
    strong: bool,
    pub(super) acquire: bool,
    pub(super) release: bool,
    wide_scope: bool,
    hint: bool,
    pub(super) rest: Vec<String>,
}

/// Sorts modifiers; those that only the caller knows are the rest.
pub(super) fn modifiers(instruction: &Instruction) -> Modifiers {
    let mut found = Modifiers { vector: 1, wide_scope: true, ..Modifiers::default() };
    for modifier in &instruction.modifiers {
        match modifier.as_str() {
            "global" => found.space = Some(Space::Global),
            // a cluster is one block here
            "shared" | "shared::cta" | "shared::cluster" => found.space = Some(Space::Shared),
            "local" => found.space = Some(Space::Local),
            "param" | "param::entry" | "param::func" => found.space = Some(Space::Param),
            "const" => found.space = Some(Space::Const),
            "v2" => found.vector = 2,
            "v4" => found.vector = 4,
            "v8" => found.vector = 8,
            "nc" => found.constant = true,
            "volatile" | "relaxed" | "mmio" => found.strong = true,
            "acquire" => (found.strong, found.acquire) = (true, true),
            "release" => (found.strong, found.release) = (true, true),
            "acq_rel" => (found.strong, found.acquire, found.release) = (true, true, true),
            "cta" => found.wide_scope = false,
            "L2::cache_hint" => found.hint = true,
            "weak" | "cluster" | "gpu" | "sys" | "ca" | "cg" | "cs" | "lu" | "cv" | "wb" | "wt" => {}
            hint if hint.starts_with("L1::") || hint.starts_with("L2::") => {}
            other => match Type::named(other) {
                Some(ty) => found.ty = Some(ty),
                None => found.rest.push(other.to_owned()),
            },
        }
    }
    // ordering among the threads of a block is all that `.cta` asks
    found.acquire &= found.wide_scope;
    found.release &= found.wide_scope;
    found
}

/// `[base+offset]`
pub(super) fn address(
    instruction: &Instruction,
    names: &mut Names,
    given: &Operand,
    space: Option<Space>,
) -> Result<Address, Fault> {
    let (base, offset) = match given {
        Operand::Address { base, offset } => (base, *offset),
        _ => return Err(Fault::Arguments(written(instruction))),
    };
    let Some(base) = base else {
        return Ok(Address { space, base: names.constant(Type::B64, 0), offset });
    };
    match names.find(base)?.clone() {
        Symbol::Register(slot @ (Slot::Word(_) | Slot::Long(_)), _) => Ok(Address { space, base: slot, offset }),
        Symbol::Variable { space: lives, address, .. } => {
            // A generic access to a variable by name is to the window of its space.
            let address = match (space, lives) {
                (None, Space::Shared) => SHARED_WINDOW + address,
                (None, Space::Local) => LOCAL_WINDOW + address,
                _ => address,
            };
            Ok(Address { space, base: names.constant(Type::B64, address), offset })
        }
        _ => Err(Fault::Arguments(written(instruction))),
    }
}

fn checked(instruction: &Instruction, found: &Modifiers, operands: usize) -> Result<(), Fault> {
    if !found.rest.is_empty() {
        return Err(Fault::Unknown(written(instruction)));
    }
    if instruction.operands.len() == operands + usize::from(found.hint) {
        Ok(())
    } else {
        Err(Fault::Arguments(written(instruction)))
    }
}

/// The type of what is moved; there are no registers of 128 bits here.
fn ordinary(instruction: &Instruction, found: &Modifiers) -> Result<Type, Fault> {
    match found.ty {
        Some(Type::B128) => Err(Fault::Unsupported(written(instruction))),
        Some(ty) if ty != Type::Pred => Ok(ty),
        _ => Err(Fault::Unknown(written(instruction))),
    }
}

fn load(instruction: &Instruction, names: &mut Names) -> Result<Action, Fault> {
    let found = modifiers(instruction);
    checked(instruction, &found, 2)?;
    let ty = ordinary(instruction, &found)?;
    let elements = names.elements(operand(instruction, 0)?)?;
    if elements.len() != found.vector || ty.bytes() as usize * found.vector > 16 {
        return Err(Fault::Arguments(written(instruction)));
    }
    let into = elements.iter().map(|element| Ok(names.wide_destination(instruction, element, ty)?.0));
    let into = into.collect::<Result<Vec<_>, Fault>>()?;
    let address = address(instruction, names, operand(instruction, 1)?, found.space)?;
    let constant = found.constant || instruction.name == "ldu";
    Ok(Action::Load(Load { address, ty, into, constant, strong: found.strong, acquire: found.acquire }))
}

fn store(instruction: &Instruction, names: &mut Names) -> Result<Action, Fault> {
    let found = modifiers(instruction);
    checked(instruction, &found, 2)?;
    let ty = ordinary(instruction, &found)?;
    let elements = names.elements(operand(instruction, 1)?)?;
    if elements.len() != found.vector || ty.bytes() as usize * found.vector > 16 {
        return Err(Fault::Arguments(written(instruction)));
    }
    let from = elements.iter().map(|element| names.wide_source(instruction, element, ty));
    let from = from.collect::<Result<Vec<_>, Fault>>()?;
    let address = address(instruction, names, operand(instruction, 0)?, found.space)?;
    Ok(Action::Store(Store { address, ty, from, strong: found.strong, release: found.release }))
}

/// `cp.async.ca.shared.global [to], [from], size, read;`, and its groups.
fn copy(instruction: &Instruction, names: &mut Names) -> Result<Action, Fault> {
    let unknown = || Fault::Unknown(written(instruction));
    let arguments = || Fault::Arguments(written(instruction));
    let words: Vec<&str> = instruction.modifiers.iter().map(String::as_str).collect();
    let count = instruction.operands.len();
    match words.as_slice() {
        ["async", "commit_group"] if count == 0 => return Ok(Action::Commit),
        ["async", "wait_all"] if count == 0 => return Ok(Action::Wait(None)),
        ["async", "wait_group"] if count == 1 => {
            let groups = names.source(instruction, operand(instruction, 0)?, Type::U32)?;
            let groups = names.constant_of(groups).ok_or_else(arguments)?;
            return Ok(Action::Wait(Some(groups as u32)));
        }
        ["async", "ca" | "cg", "shared" | "shared::cta", "global", hints @ ..]
            if hints.iter().all(|hint| hint.starts_with("L2::")) => {}
        ["async", "bulk" | "mbarrier", ..] => return Err(Fault::Unsupported(written(instruction))),
        _ => return Err(unknown()),
    }
    let hint = usize::from(words.contains(&"L2::cache_hint"));
    if count < 3 + hint || count > 4 + hint {
        return Err(arguments());
    }
    let to = address(instruction, names, operand(instruction, 0)?, Some(Space::Shared))?;
    let from = address(instruction, names, operand(instruction, 1)?, Some(Space::Global))?;
    let size = names.source(instruction, operand(instruction, 2)?, Type::U32)?;
    let size = names.constant_of(size).ok_or_else(arguments)? as usize;
    if !(size == 16 || words[1] == "ca" && matches!(size, 4 | 8)) {
        return Err(arguments());
    }
    let (mut read, mut ignore) = (None, None);
    if count == 4 + hint {
        let last = operand(instruction, 3)?;
        // A predicate says that nothing is read, all else how many bytes are. A number is the size, which nvcc writes for every copy
        // of `__pipeline_memcpy_async`; `names.predicate` would take it for a constant predicate.
        let is_number = matches!(last, Operand::Number(_));
        match names.predicate(instruction, last) {
            Ok(predicate) if !is_number => ignore = Some(predicate),
            _ => {
                let bytes = names.source(instruction, last, Type::U32)?;
                // more than is written is undefined
                if names.constant_of(bytes).is_some_and(|bytes| bytes as usize > size) {
                    return Err(arguments());
                }
                read = Some(bytes);
            }
        }
    }
    Ok(Action::Copy(Copy { to, from, size, read, ignore }))
}

/// `ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {d, …}, [a];`, and `stmatrix` with its operands the other way round.
fn matrix(instruction: &Instruction, names: &mut Names) -> Result<Matrix, Fault> {
    let (mut count, mut transposed, mut words) = (0, false, Vec::new());
    for modifier in &instruction.modifiers {
        match modifier.as_str() {
            "x1" => count = 1,
            "x2" => count = 2,
            "x4" => count = 4,
            "trans" => transposed = true,
            "shared" | "shared::cta" => words.push("shared"),
            other => words.push(other),
        }
    }
    if words != ["sync", "aligned", "m8n8", "shared", "b16"] && words != ["sync", "aligned", "m8n8", "b16"]
        || count == 0
    {
        return Err(Fault::Unknown(written(instruction)));
    }
    let loads = instruction.name == "ldmatrix";
    let (registers, at) = if loads { (0, 1) } else { (1, 0) };
    let elements = names.elements(operand(instruction, registers)?)?;
    if elements.len() != count || instruction.operands.len() != 2 {
        return Err(Fault::Arguments(written(instruction)));
    }
    let space = words.contains(&"shared").then_some(Space::Shared);
    let address = address(instruction, names, operand(instruction, at)?, space)?;
    let registers = elements.iter().map(|element| {
        if loads {
            names.destination(instruction, element, Type::B32)
        } else {
            names.source(instruction, element, Type::B32)
        }
    });
    Ok(Matrix { address, registers: registers.collect::<Result<_, Fault>>()?, transposed })
}

/// What the window of a space adds to an address to make it generic.
fn window(instruction: &Instruction) -> Result<u64, Fault> {
    let modifiers: Vec<&str> = instruction.modifiers.iter().map(String::as_str).collect();
    Ok(match modifiers.iter().find(|word| **word != "to" && Type::named(word).is_none()) {
        Some(&"shared" | &"shared::cta" | &"shared::cluster") => SHARED_WINDOW,
        Some(&"local") => LOCAL_WINDOW,
        Some(&"global" | &"const") => 0,
        Some(&"param" | &"param::entry") => return Err(Fault::Unsupported(written(instruction))),
        _ => return Err(Fault::Unknown(written(instruction))),
    })
}

/// `cvta.space`, `cvta.to.space`
fn convert_address(instruction: &Instruction, names: &mut Names) -> Result<Action, Fault> {
    let window = window(instruction)?;
    let ty = instruction.modifiers.last().and_then(|word| Type::named(word)).filter(|ty| ty.bits() >= 32);
    let ty = ty.ok_or_else(|| Fault::Unknown(written(instruction)))?;
    let into = names.destination(instruction, operand(instruction, 0)?, ty)?;
    let from = names.source(instruction, operand(instruction, 1)?, ty)?;
    let back = instruction.modifiers.iter().any(|word| word == "to");
    let added = if back { window.wrapping_neg() } else { window };
    Ok(Action::Lanes(Box::new(move |registers, mask| {
        let from: [u64; LANES] = registers.read(from);
        registers.write(into, &from.map(|address| address.wrapping_add(added)), mask);
    })))
}

/// `isspacep.space p, a`: global is everything that is no window.
fn is_space(instruction: &Instruction, names: &mut Names) -> Result<Action, Fault> {
    let from = names.wide_source(instruction, operand(instruction, 1)?, Type::U32)?;
    let into = names.destination(instruction, operand(instruction, 0)?, Type::Pred)?;
    let shared = SHARED_WINDOW..SHARED_WINDOW + WINDOW;
    let local = LOCAL_WINDOW..LOCAL_WINDOW + WINDOW;
    let is: Box<dyn Fn(u64) -> bool + Send + Sync> = match instruction.modifiers.first().map(String::as_str) {
        Some("shared" | "shared::cta" | "shared::cluster") => Box::new(move |address| shared.contains(&address)),
        Some("local") => Box::new(move |address| local.contains(&address)),
        Some("global") => Box::new(move |address| !shared.contains(&address) && !local.contains(&address)),
        Some("const" | "param" | "param::entry") => Box::new(|_| false),
        _ => return Err(Fault::Unknown(written(instruction))),
    };
    Ok(Action::Lanes(Box::new(move |registers, mask| {
        let from: [u64; LANES] = registers.read(from);
        let bits = (0..LANES).fold(0, |bits, lane| bits | u32::from(is(from[lane])) << lane);
        registers.write_predicate(into, bits, mask);
    })))
}

/// Whether a parameter's address is one of a call's.
pub(super) fn of_a_call(address: u64) -> bool {
    address >= CALL_PARAMETERS
}
