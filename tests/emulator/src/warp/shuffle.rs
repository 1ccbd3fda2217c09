//! `shfl.sync`: every lane reads another's register.

use crate::decode::Fault;
use crate::decode::names::{Names, written};
use crate::decode::types::Type;
use crate::exec::registers::{LANES, Mask, Registers};
use crate::parse::syntax::Instruction;

use super::{Collective, Members, UNDEFINED, operands, result_and_predicate};

#[derive(Clone, Copy)]
enum Mode {
    Up,
    Down,
    Butterfly,
    Index,
}

/// From where each lane reads, and whether that is within its segment.
#[derive(Clone, Copy)]
struct Sources {
    lane: [u8; LANES],
    within: Mask,
}

pub(super) fn decode(instruction: &Instruction, modifiers: &[&str], names: &mut Names) -> Result<Collective, Fault> {
    let mode = match modifiers {
        ["sync", "up", "b32"] => Mode::Up,
        ["sync", "down", "b32"] => Mode::Down,
        ["sync", "bfly", "b32"] => Mode::Butterfly,
        ["sync", "idx", "b32"] => Mode::Index,
        _ => return Err(Fault::Unknown(written(instruction))),
    };
    let [to, from, distance, control, members] = operands(instruction)?;
    let (to, within) = result_and_predicate(to);
    let to = names.destination(instruction, to, Type::B32)?;
    let within = within.map(|within| names.destination(instruction, within, Type::Pred)).transpose()?;
    let from = names.source(instruction, from, Type::B32)?;
    let distance = names.source(instruction, distance, Type::B32)?;
    let control = names.source(instruction, control, Type::B32)?;
    let members = names.source(instruction, members, Type::B32)?;
    // Nearly always both are constants, and so is from where each lane reads.
    let fixed = names.constant_of(distance).zip(names.constant_of(control));
    let fixed = fixed.map(|(distance, control)| sources(mode, &[distance as u32; LANES], &[control as u32; LANES]));

    let run = Box::new(move |registers: &mut Registers, mask: Mask| {
        let sources = fixed.unwrap_or_else(|| sources(mode, &registers.read(distance), &registers.read(control)));
        let values: [u32; LANES] = registers.read(from);
        let moved: [u32; LANES] = std::array::from_fn(|lane| {
            let source = usize::from(sources.lane[lane]) % LANES;
            if mask >> source & 1 == 1 { values[source] } else { UNDEFINED }
        });
        registers.write(to, &moved, mask);
        if let Some(within) = within {
            registers.write_predicate(within, sources.within, mask);
        }
    });
    Ok(Collective { run, members: Members::Named(members) })
}

/// The semantics of `shfl.sync` in the PTX ISA: the control's bits 8 to 12 split the warp into segments, its bits 0 to 4 are the last lane
/// that may be read (of `up`, the first). A lane that would read beyond reads itself.
fn sources(mode: Mode, distances: &[u32; LANES], controls: &[u32; LANES]) -> Sources {
    let mut sources = Sources { lane: [0; LANES], within: 0 };
    for lane in 0..LANES {
        let own = lane as u32;
        let (distance, clamp, segment) = (distances[lane] & 31, controls[lane] & 31, controls[lane] >> 8 & 31);
        let first = own & segment;
        let limit = first | clamp & !segment;
        let (source, within) = match mode {
            Mode::Up => (own.wrapping_sub(distance), own >= limit + distance),
            Mode::Down => (own + distance, own + distance <= limit),
            Mode::Butterfly => (own ^ distance, (own ^ distance) <= limit),
            Mode::Index => (first | distance & !segment, (first | distance & !segment) <= limit),
        };
        sources.lane[lane] = if within { source as u8 } else { lane as u8 };
        sources.within |= u32::from(within) << lane;
    }
    sources
}
