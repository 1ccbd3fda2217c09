//! Wavefronts: the passes of one instruction through the 32 banks of 4 bytes of shared memory. Each pass reads or writes one word of every
//! bank; all lanes that want this word are served. What two warps do to each other is not modelled.
//!
//! A lane of 8 or 16 bytes takes 2 or 4 neighbouring banks, so that banks can be thought as wide as the access: 32 of 4 bytes for 32 lanes, 16
//! of 8 bytes for a half warp, 8 of 16 bytes for a quarter. A group of lanes as large as there are banks takes as many passes as some bank
//! has different words to give. All of this is as counted on an H100 (`hardware/recordings/counters.json`), except where it says otherwise.

use crate::exec::registers::{LANES, Mask};

/// How shared memory is accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `ld.shared`
    Load,
    /// `st.shared`
    Store,
    /// `atom.shared`, `red.shared`. Not recorded: lanes of one word are taken to be served one after another.
    Atomic,
    /// `ldmatrix`, `stmatrix`: lanes 8i to 8i + 7 name the rows of matrix i, each of 16 bytes. The mask has the lanes whose addresses are used:
    /// 0xff for `.x1`, 0xffff for `.x2`, all for `.x4`.
    Matrix,
    /// `cp.async`, when its data arrive. Not recorded: taken to be a store.
    CopyAsync,
}

/// The passes of one instruction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wavefronts {
    /// As many as there are.
    pub actual: u32,
    /// As many as there would be without bank conflicts; the profiler's `bank_conflicts` are the difference.
    pub ideal: u32,
}

/// The passes that the lanes of a mask take with accesses of `size` bytes, at most 16, from these bytes of shared memory.
pub fn wavefronts(offsets: &[u32; LANES], mask: Mask, size: usize, access: Access) -> Wavefronts {
    if mask == 0 {
        return Wavefronts::default();
    }
    let size = if access == Access::Matrix { 16 } else { size };
    let width: u32 = if size > 8 { 4 } else { 2 + u32::from(size > 4) };
    let banks = 128 >> width;
    let together = if access == Access::Load && width > 2 && pairs(offsets, mask) { 2 * banks } else { banks };
    let ideal = groups(mask, together);
    if together == banks && distinct(offsets, mask, width) {
        return Wavefronts { actual: ideal, ideal };
    }
    let group = Mask::MAX >> (LANES as u32 - together.min(LANES as u32));
    let starts = (0..LANES as u32).step_by(together as usize);
    let actual = starts.map(|start| passes(offsets, mask & group << start, width, access)).sum();
    Wavefronts { actual, ideal }
}

/// Groups of so many lanes that have an active one.
fn groups(mask: Mask, lanes: u32) -> u32 {
    match lanes {
        8 => [0xff, 0xff00, 0xff_0000, 0xff00_0000].map(|group| u32::from(mask & group != 0)).iter().sum(),
        16 => u32::from(mask & 0xffff != 0) + u32::from(mask >> 16 != 0),
        _ => u32::from(mask != 0),
    }
}

/// Whether the lanes of each pair, 1 or 2 apart, load from the same address. Then a load of 8 or 16 bytes takes two groups of lanes at once,
/// for it has to return half as much (Greg Smith of NVIDIA, <https://forums.developer.nvidia.com/t/77228>, for Volta and Turing; recorded for
/// lanes that are all alike). Stores do not.
fn pairs(offsets: &[u32; LANES], mask: Mask) -> bool {
    let active = |lane: usize| mask >> lane & 1 == 1;
    let alike = |apart: usize| {
        (0..LANES).all(|lane| !active(lane) || !active(lane ^ apart) || offsets[lane] == offsets[lane ^ apart])
    };
    alike(1) || alike(2)
}

/// Whether in no group two lanes want one bank: contiguous, permuted and swizzled accesses, which is to say almost all.
fn distinct(offsets: &[u32; LANES], mask: Mask, width: u32) -> bool {
    let banks = 128_u32 >> width;
    let taken = (0..LANES as u32).fold(0_u32, |taken, lane| {
        let slot = lane & !(banks - 1) | offsets[lane as usize] >> width & (banks - 1);
        taken | (mask >> lane & 1) << slot
    });
    taken.count_ones() == mask.count_ones()
}

/// The passes of lanes that are served together: each takes from every bank the word that its first waiting lane wants.
fn passes(offsets: &[u32; LANES], mask: Mask, width: u32, access: Access) -> u32 {
    let banks = 128_u32 >> width;
    let mut waiting = mask;
    let mut passes = 0;
    while waiting != 0 {
        passes += 1;
        let mut words = [0; LANES];
        let mut open: u32 = 0;
        let mut left = waiting;
        while left != 0 {
            let lane = left.trailing_zeros();
            left &= left - 1;
            let word = offsets[lane as usize] >> width;
            let bank = word & (banks - 1);
            let first = open >> bank & 1 == 0;
            if first {
                open |= 1 << bank;
                words[bank as usize] = word;
            }
            if first || access != Access::Atomic && words[bank as usize] == word {
                waiting &= !(1 << lane);
            }
        }
    }
    passes
}

#[cfg(test)]
mod tests {
    use super::*;
    use Access::{Atomic, Load, Matrix, Store};

    fn at(offset: impl Fn(u32) -> u32) -> [u32; LANES] {
        std::array::from_fn(|lane| offset(lane as u32))
    }

    fn of(offsets: &[u32; LANES], mask: Mask, size: usize, access: Access) -> (u32, u32) {
        let Wavefronts { actual, ideal } = wavefronts(offsets, mask, size, access);
        (actual, ideal)
    }

    #[test]
    fn a_word_a_bank_is_one_pass() {
        for size in [1, 2, 4] {
            assert_eq!(of(&at(|lane| lane * size), u32::MAX, size as usize, Load), (1, 1));
        }
        assert_eq!(of(&at(|lane| (lane ^ 5) * 4), u32::MAX, 4, Store), (1, 1));
        assert_eq!(of(&at(|lane| lane / 2 * 4), u32::MAX, 4, Load), (1, 1));
        assert_eq!(of(&at(|lane| lane * 132), u32::MAX, 4, Store), (1, 1));
    }

    #[test]
    fn words_of_one_bank_take_turns() {
        assert_eq!(of(&at(|lane| lane * 8), u32::MAX, 4, Load), (2, 1));
        assert_eq!(of(&at(|lane| lane * 128), u32::MAX, 4, Load), (32, 1));
        assert_eq!(of(&at(|lane| lane * 128), 0xff, 4, Load), (8, 1));
        assert_eq!(of(&at(|lane| lane % 3 * 128), u32::MAX, 4, Store), (3, 1));
    }

    #[test]
    fn wide_accesses_go_by_halves_and_quarters() {
        assert_eq!(of(&at(|lane| lane * 8), u32::MAX, 8, Load), (2, 2));
        assert_eq!(of(&at(|lane| lane * 16), u32::MAX, 16, Store), (4, 4));
        assert_eq!(of(&at(|lane| lane * 16), 0xffff, 16, Store), (2, 2));
        assert_eq!(of(&at(|lane| lane * 16), 0x0101_0000, 16, Store), (2, 2));
        assert_eq!(of(&at(|lane| lane * 8), 0x10, 8, Store), (1, 1));
    }

    #[test]
    fn pairs_that_load_alike_are_served_twice_as_fast() {
        assert_eq!(of(&at(|lane| lane / 2 * 16), u32::MAX, 16, Load), (2, 2));
        assert_eq!(of(&at(|lane| lane / 2 * 16), u32::MAX, 16, Store), (4, 4));
        assert_eq!(of(&at(|lane| (lane & 1 | lane >> 2 << 1) * 8), u32::MAX, 8, Load), (1, 1));
        assert_eq!(of(&at(|lane| lane / 4 * 16), u32::MAX, 16, Load), (2, 2));
        assert_eq!(of(&at(|lane| lane / 8 * 16), 0x0000_00ff, 16, Load), (1, 1));
        assert_eq!(of(&at(|lane| lane * 4), 0x1111_1111, 16, Load), (2, 2), "partners that are not there agree");
    }

    #[test]
    fn a_matrix_is_a_pass() {
        assert_eq!(of(&at(|lane| lane * 16), 0xff, 16, Matrix), (1, 1));
        assert_eq!(of(&at(|lane| lane * 128), 0xff, 16, Matrix), (8, 1));
        assert_eq!(of(&at(|lane| lane * 128), u32::MAX, 16, Matrix), (32, 4));
        assert_eq!(of(&at(|lane| lane * 128 + (lane & 7) * 16), u32::MAX, 16, Matrix), (4, 4));
    }

    #[test]
    fn atomics_of_one_word_take_turns() {
        assert_eq!(of(&at(|_| 0), u32::MAX, 4, Atomic), (32, 1));
        assert_eq!(of(&at(|lane| lane * 4), u32::MAX, 4, Atomic), (1, 1));
    }
}
