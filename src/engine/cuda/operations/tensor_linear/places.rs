//! Where the kernel's tiles and sums lie in shared memory, and that no access to them has a conflict of banks.
//!
//! Mirrors `chunk_place` (`kernels/mma.cuh`) and `sum_place` (`kernels/tensor_linear.cu`). Not here: the launches.

use std::collections::BTreeSet;

/// Byte of a chunk of a row in a tile: `chunk_place`.
fn chunk_place(row: usize, chunk: usize) -> usize {
    row * 64 + (chunk ^ (row / 2 % 4)) * 16
}

/// Word of a sum among those of a warp: `sum_place`.
fn sum_place(row: usize, column: usize) -> usize {
    row * 36 + (column / 8 + column / 4 % 2 * 4) * 4 + column % 4
}

/// Whether lanes that access words beginning at these at once have each bank for themselves.
fn free_of_conflicts(firsts: impl IntoIterator<Item = usize>, words: usize) -> bool {
    let all: Vec<usize> = firsts.into_iter().flat_map(|first| first..first + words).collect();
    let banks: BTreeSet<usize> = all.iter().map(|word| word % 32).collect();
    all.len() <= 32 && banks.len() == all.len()
}

#[test]
fn ldmatrix_reads_eight_rows_without_conflicts() {
    for (top, chunk) in (0..128).step_by(8).flat_map(|top| (0..4).map(move |chunk| (top, chunk))) {
        assert!(free_of_conflicts((top..top + 8).map(|row| chunk_place(row, chunk) / 4), 4), "{top} {chunk}");
    }
}

#[test]
fn ldmatrix_lanes_address_the_chunks_of_their_fragments() {
    for (warp_row, lane, step) in (0..2).flat_map(|w| (0..32).flat_map(move |l| (0..2).map(move |s| (w * 64, l, s)))) {
        let a = chunk_place(warp_row + lane % 16, lane / 16) ^ (step * 32);
        assert_eq!(a, chunk_place(warp_row + lane % 16, step * 2 + lane / 16));
        let (row, chunk) = (warp_row + lane % 8 + lane / 16 * 8, lane / 8 % 2);
        assert_eq!(chunk_place(row, chunk) ^ (step * 32), chunk_place(row, step * 2 + chunk));
        assert_eq!(chunk_place(row, chunk) + 1024, chunk_place(row + 16, chunk), "fragments are 1024 bytes apart");
    }
}

#[test]
fn chunks_are_written_without_conflicts() {
    for phase in (0..512).step_by(8) {
        let chunks = (phase..phase + 8).map(|index| chunk_place(index / 4, index % 4) / 4);
        assert!(free_of_conflicts(chunks, 4), "{phase}");
    }
}

#[test]
fn pairs_of_a_fragment_are_written_without_conflicts() {
    for (fragment, half, below) in (0..4).flat_map(|f| (0..2).flat_map(move |h| (0..2).map(move |b| (f, h, b)))) {
        let lanes = half * 16..half * 16 + 16;
        let pairs = lanes.map(|lane| sum_place(lane / 4 + below * 8, fragment * 8 + lane % 4 * 2));
        assert!(free_of_conflicts(pairs, 2), "{fragment} {half} {below}");
    }
}

#[test]
fn quads_of_rows_are_read_without_conflicts() {
    for (half, quad, phase) in (0..2).flat_map(|h| (0..2).flat_map(move |q| (0..4).map(move |p| (h, q, p)))) {
        let lanes = phase * 8..phase * 8 + 8;
        let quads = lanes.map(|lane| sum_place(half * 8 + lane / 4 % 2 * 4 + lane / 8, lane % 4 * 8 + quad * 4));
        assert!(free_of_conflicts(quads, 4), "{half} {quad} {phase}");
        assert_eq!(sum_place(3, 8 + 4), sum_place(3, 8) + 16, "the second quad is 16 words behind the first");
    }
}

#[test]
fn sums_of_a_row_are_read_without_conflicts_and_have_places_of_their_own() {
    for row in 0..16 {
        assert!(free_of_conflicts((0..32).map(|column| sum_place(row, column)), 1), "{row}");
    }
    let places: BTreeSet<usize> = (0..16 * 32).map(|index| sum_place(index / 32, index % 32)).collect();
    assert_eq!((places.len(), places.last().map(|last| *last < 16 * 36)), (512, Some(true)));
}
