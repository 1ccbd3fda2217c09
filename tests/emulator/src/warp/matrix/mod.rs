//! Products of matrices that the lanes of a warp hold between them: `mma.sync`, and `movmatrix`. Not here: `ldmatrix` and `stmatrix`, which
//! are loads and stores.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod doubles;
mod eights;
mod floats;
mod fragments;
mod half;
mod integers;
mod sums;

use crate::decode::Fault;
use crate::decode::names::{Names, written};
use crate::decode::types::Type;
use crate::exec::Lanes;
use crate::exec::registers::{LANES, Mask, Registers, Slot};
use crate::parse::syntax::{Instruction, Operand};

use super::{Collective, Members, operands};
use doubles::F64;
use eights::{E4M3, E5M2};
use floats::{Bf16, F16, Factor, Tf32};
use fragments::{COLUMNS, Packed};
use integers::{S8, U8};
use sums::{Element, Sums, Total};

/// The registers of D = A·B + C.
struct Operands {
    d: Vec<Slot>,
    a: Vec<Slot>,
    b: Vec<Slot>,
    c: Vec<Slot>,
}

/// `mma.sync.aligned.shape.row.col{.satfinite}.dtype.atype.btype.ctype d, a, b, c;`
pub(super) fn decode(instruction: &Instruction, modifiers: &[&str], names: &mut Names) -> Result<Collective, Fault> {
    let decoder = Decoder { instruction, names };
    let run = match modifiers {
        ["sync", "aligned", shape, "row", "col", d, "f16", "f16", c] if d == c => {
            let total = match *d {
                "f32" => Total::F32,
                "f16" => Total::F16,
                _ => return Err(Fault::Unknown(written(instruction))),
            };
            match *shape {
                "m16n8k8" => decoder.floats::<F16, 8>(total),
                "m16n8k16" => decoder.floats::<F16, 16>(total),
                _ => Err(other(instruction, modifiers)),
            }
        }
        ["sync", "aligned", shape, "row", "col", "f32", "bf16", "bf16", "f32"] => match *shape {
            "m16n8k8" => decoder.floats::<Bf16, 8>(Total::F32),
            "m16n8k16" => decoder.floats::<Bf16, 16>(Total::F32),
            _ => Err(other(instruction, modifiers)),
        },
        ["sync", "aligned", shape, "row", "col", "f32", "tf32", "tf32", "f32"] => match *shape {
            "m16n8k4" => decoder.floats::<Tf32, 4>(Total::F32),
            "m16n8k8" => decoder.floats::<Tf32, 8>(Total::F32),
            _ => Err(other(instruction, modifiers)),
        },
        ["sync", "aligned", shape, "row", "col", "f32", a @ ("e4m3" | "e5m2"), b @ ("e4m3" | "e5m2"), "f32"] => {
            decoder.eights(shape, a, b).unwrap_or_else(|| Err(other(instruction, modifiers)))
        }
        ["sync", "aligned", shape, "row", "col", "f64", "f64", "f64", "f64"]
        | ["sync", "aligned", shape, "row", "col", "rn", "f64", "f64", "f64", "f64"] => match *shape {
            "m8n8k4" => decoder.doubles::<8, 4>(),
            "m16n8k4" => decoder.doubles::<16, 4>(),
            "m16n8k8" => decoder.doubles::<16, 8>(),
            "m16n8k16" => decoder.doubles::<16, 16>(),
            _ => Err(other(instruction, modifiers)),
        },
        ["sync", "aligned", shape, "row", "col", "s32", a @ ("s8" | "u8"), b @ ("s8" | "u8"), "s32"] => {
            decoder.integers(shape, a, b, false).unwrap_or_else(|| Err(other(instruction, modifiers)))
        }
        ["sync", "aligned", shape, "row", "col", "satfinite", "s32", a @ ("s8" | "u8"), b @ ("s8" | "u8"), "s32"] => {
            decoder.integers(shape, a, b, true).unwrap_or_else(|| Err(other(instruction, modifiers)))
        }
        _ => Err(other(instruction, modifiers)),
    };
    Ok(Collective { run: run?, members: Members::All })
}

/// What the emulator leaves out of the ISA; the rest is not in the ISA.
fn other(instruction: &Instruction, modifiers: &[&str]) -> Fault {
    let left_out = ["sp", "sp::ordered_metadata", "s4", "u4", "b1", "e4m3", "e5m2", "rz", "rm", "rp"];
    let volta = modifiers.contains(&"m8n8k4") && modifiers.contains(&"f16");
    if volta || modifiers.iter().any(|modifier| left_out.contains(modifier)) {
        Fault::Unsupported(written(instruction))
    } else {
        Fault::Unknown(written(instruction))
    }
}

struct Decoder<'a> {
    instruction: &'a Instruction,
    names: &'a mut Names,
}

impl Decoder<'_> {
    fn floats<T: Factor, const K: usize>(self, total: Total) -> Result<Lanes, Fault> {
        let sums = Sums::of(self.names.sm, T::ELEMENT, total);
        let (ty, per) = if total == Total::F32 { (Type::F32, 1) } else { (Type::B32, 2) };
        Ok(floats::run::<T, K>(self.operands::<T, T, 16, K>(Type::B32, ty, per)?, sums))
    }

    fn doubles<const M: usize, const K: usize>(self) -> Result<Lanes, Fault> {
        Ok(doubles::run::<M, K>(self.operands::<F64, F64, M, K>(Type::F64, Type::F64, 1)?))
    }

    /// None of another shape.
    fn eights(self, shape: &str, a: &str, b: &str) -> Option<Result<Lanes, Fault>> {
        match (a, b) {
            ("e4m3", "e4m3") => self.eights_of::<E4M3, E4M3>(shape),
            ("e4m3", _) => self.eights_of::<E4M3, E5M2>(shape),
            (_, "e4m3") => self.eights_of::<E5M2, E4M3>(shape),
            _ => self.eights_of::<E5M2, E5M2>(shape),
        }
    }

    fn eights_of<A, B>(self, shape: &str) -> Option<Result<Lanes, Fault>>
    where
        A: Packed<Word = u32, Value = f32> + 'static,
        B: Packed<Word = u32, Value = f32> + 'static,
    {
        let sums = Sums::of(self.names.sm, Element::Eight, Total::F32);
        let (factor, sum) = (Type::B32, Type::F32);
        Some(match shape {
            "m16n8k16" => self.operands::<A, B, 16, 16>(factor, sum, 1).map(|all| eights::run::<A, B, 16>(all, sums)),
            "m16n8k32" => self.operands::<A, B, 16, 32>(factor, sum, 1).map(|all| eights::run::<A, B, 32>(all, sums)),
            _ => return None,
        })
    }

    /// None of another shape.
    fn integers(self, shape: &str, a: &str, b: &str, saturate: bool) -> Option<Result<Lanes, Fault>> {
        Some(match (a, b) {
            ("s8", "s8") => self.bytes::<S8, S8>(shape, saturate)?,
            ("s8", _) => self.bytes::<S8, U8>(shape, saturate)?,
            (_, "s8") => self.bytes::<U8, S8>(shape, saturate)?,
            _ => self.bytes::<U8, U8>(shape, saturate)?,
        })
    }

    fn bytes<A, B>(self, shape: &str, saturate: bool) -> Option<Result<Lanes, Fault>>
    where
        A: Packed<Word = u32, Value = i32> + 'static,
        B: Packed<Word = u32, Value = i32> + 'static,
    {
        let (factor, sum) = (Type::B32, Type::S32);
        Some(match shape {
            "m8n8k16" => {
                self.operands::<A, B, 8, 16>(factor, sum, 1).map(|all| integers::run::<A, B, 8, 16>(all, saturate))
            }
            "m16n8k16" => {
                self.operands::<A, B, 16, 16>(factor, sum, 1).map(|all| integers::run::<A, B, 16, 16>(all, saturate))
            }
            "m16n8k32" => {
                self.operands::<A, B, 16, 32>(factor, sum, 1).map(|all| integers::run::<A, B, 16, 32>(all, saturate))
            }
            _ => return None,
        })
    }

    /// As many registers as the shape needs: of factors of this type, and of sums of that, so many to a register.
    fn operands<A: Packed, B: Packed, const M: usize, const K: usize>(
        self,
        factor: Type,
        sum: Type,
        sums_per: usize,
    ) -> Result<Operands, Fault> {
        let Self { instruction, names } = self;
        let [d, a, b, c] = operands(instruction)?;
        let sums = M * COLUMNS / LANES / sums_per;
        let d = vector(instruction, d, sums)?
            .iter()
            .map(|d| names.destination(instruction, d, sum))
            .collect::<Result<_, _>>()?;
        let mut sources = |operand, count, ty| -> Result<Vec<Slot>, Fault> {
            vector(instruction, operand, count)?.iter().map(|element| names.source(instruction, element, ty)).collect()
        };
        Ok(Operands {
            d,
            a: sources(a, M * K / LANES / A::PER, factor)?,
            b: sources(b, K * COLUMNS / LANES / B::PER, factor)?,
            c: sources(c, sums, sum)?,
        })
    }
}

/// Elements of `{…}`, of which there must be so many.
fn vector<'a>(instruction: &Instruction, operand: &'a Operand, count: usize) -> Result<&'a [Operand], Fault> {
    match operand {
        Operand::Vector(elements) if elements.len() == count => Ok(elements),
        _ => Err(Fault::Arguments(written(instruction))),
    }
}

/// `movmatrix.sync.aligned.m8n8.trans.b16 d, a;`: the 8 × 8 matrix of which lane l holds row l / 4, columns 2 (l % 4) and the next, transposed.
pub(super) fn transpose(instruction: &Instruction, modifiers: &[&str], names: &mut Names) -> Result<Collective, Fault> {
    if modifiers != ["sync", "aligned", "m8n8", "trans", "b16"] {
        return Err(Fault::Unknown(written(instruction)));
    }
    let [to, from] = operands(instruction)?;
    let to = names.destination(instruction, to, Type::B32)?;
    let from = names.source(instruction, from, Type::B32)?;
    let run = Box::new(move |registers: &mut Registers, mask: Mask| {
        let words: [u32; LANES] = registers.read(from);
        let element = |row: usize, column: usize| words[row * 4 + column / 2] >> (16 * (column % 2)) & 0xFFFF;
        let transposed: [u32; LANES] = std::array::from_fn(|lane| {
            let (row, column) = (lane / 4, lane % 4 * 2);
            element(column, row) | element(column + 1, row) << 16
        });
        registers.write(to, &transposed, mask);
    });
    Ok(Collective { run, members: Members::All })
}
