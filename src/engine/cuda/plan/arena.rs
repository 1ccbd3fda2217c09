//! Where each value of a run lies: offsets in one piece of memory, so that values that are needed at the same time do not overlap.
//!
//! Not here: the memory itself (`driver/memory`), what a value is (`fuse`).

use std::ops::RangeInclusive;

use crate::engine::cuda::driver::memory::ALIGNMENT;

/// Memory that is needed from one step to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) bytes: usize,
    /// The steps from the one that writes it to the last that reads it.
    pub(super) steps: RangeInclusive<usize>,
}

/// The offset of each piece, and the size of all.
///
/// The largest first, each at the lowest offset that is free through its steps: a simple rule that comes within a few percent of the most bytes that
/// are needed at once.
pub(super) fn place(pieces: &[Piece]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..pieces.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(pieces[*index].bytes));
    let mut offsets = vec![0; pieces.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut size = 0;
    for index in order {
        let piece = &pieces[index];
        let together =
            |other: &Piece| piece.steps.start() <= other.steps.end() && other.steps.start() <= piece.steps.end();
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|other| together(&pieces[**other]))
            .map(|other| (offsets[*other], end(pieces, &offsets, *other)))
            .collect();
        taken.sort_unstable();
        let mut offset = 0;
        for (first, end) in taken {
            if first >= offset + piece.bytes {
                break;
            }
            offset = offset.max(end);
        }
        offsets[index] = offset;
        placed.push(index);
        size = size.max(end(pieces, &offsets, index));
    }
    (offsets, size)
}

/// Where the next piece may begin.
fn end(pieces: &[Piece], offsets: &[usize], index: usize) -> usize {
    (offsets[index] + pieces[index].bytes).next_multiple_of(ALIGNMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(bytes: usize, steps: RangeInclusive<usize>) -> Piece {
        Piece { bytes, steps }
    }

    #[test]
    fn pieces_that_are_needed_together_do_not_overlap_and_others_share() {
        // a chain of three values, each read by the next step
        let (offsets, size) = place(&[piece(1024, 0..=1), piece(512, 1..=2), piece(1000, 2..=3)]);
        assert_eq!(offsets, [0, 1024, 0]);
        assert_eq!(size, 1536);
    }

    #[test]
    fn a_gap_is_used() {
        let (offsets, size) = place(&[piece(1024, 0..=9), piece(1024, 0..=3), piece(1024, 0..=9), piece(512, 4..=5)]);
        assert_eq!(size, 3 * 1024);
        assert_eq!(offsets[3], offsets[1]);
    }

    #[test]
    fn offsets_are_aligned() {
        let (offsets, size) = place(&[piece(1, 0..=0), piece(1, 0..=0), piece(1, 0..=0)]);
        assert!(offsets.iter().chain([&size]).all(|offset| offset.is_multiple_of(ALIGNMENT)), "{offsets:?}");
        assert_eq!(size, 3 * ALIGNMENT);
    }
}
