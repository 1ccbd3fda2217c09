//! The maps of the tensor cores' form in shared memory, as `kernels/attention_tensor.cuh` has them, and that no access of a warp meets one
//! bank twice. Not here: what is computed.

use super::{ROW_BYTES, no_key, table_pitch};
use crate::program::Windows;

/// Lanes of a warp, as (row of eight, quarter of the row).
const LANES: usize = 32;

/// Where a lane's 16 bytes of a key are, from the begin of eight keys.
fn key_offset(lane: usize) -> usize {
    lane * 16
}

/// Where 16 bytes of a row of values begin, from the begin of the head's values.
fn value_offset(row: usize, chunk: usize) -> usize {
    row * ROW_BYTES + (chunk ^ (row / 2 % 4)) * 16
}

/// Wavefronts of an access, by the addresses of the lanes that have a part in one: the most addresses of words that one bank has.
fn wavefronts(words: impl IntoIterator<Item = usize>) -> usize {
    let mut banks = vec![Vec::new(); 32];
    for word in words {
        if !banks[word % 32].contains(&word) {
            banks[word % 32].push(word);
        }
    }
    banks.iter().map(Vec::len).max().unwrap_or(0)
}

/// The words of 16 bytes.
fn words(address: usize) -> impl Iterator<Item = usize> {
    (0..4).map(move |word| address / 4 + word)
}

#[test]
fn keys_are_written_and_read_without_conflict() {
    // 16 bytes a lane go by eight lanes
    for lanes in [0, 8, 16, 24] {
        assert_eq!(wavefronts((lanes..lanes + 8).flat_map(|lane| words(key_offset(lane)))), 1);
    }
}

#[test]
fn values_are_written_without_conflict() {
    for (tile, chunk) in (0..18).flat_map(|tile| (0..4).map(move |chunk| (tile, chunk))) {
        // word `chunk` of each lane's 16 bytes
        let word = |lane: usize| value_offset(tile * 8 + lane / 4, chunk) / 4 + lane % 4;
        assert_eq!(wavefronts((0..LANES).map(word)), 1, "tile {tile}, chunk {chunk}");
    }
}

#[test]
fn values_are_read_without_conflict() {
    for (tile, chunk) in (0..18).flat_map(|tile| (0..4).map(move |chunk| (tile, chunk))) {
        let rows = (0..8).map(|row| value_offset(tile * 8 + row, chunk));
        assert_eq!(wavefronts(rows.flat_map(words)), 1, "tile {tile}, chunk {chunk}");
    }
}

#[test]
fn every_value_has_a_place_of_its_own() {
    let mut places: Vec<usize> = (0..144).flat_map(|row| (0..4).map(move |chunk| value_offset(row, chunk))).collect();
    places.sort_unstable();
    assert_eq!(places, (0..144 * 4).map(|chunk| chunk * 16).collect::<Vec<_>>());
}

#[test]
fn biases_of_windows_of_7_and_8_are_read_without_conflict() {
    for side in [7, 8] {
        let windows = Windows { size: [side; 2], shift: [0; 2], pads_first: false };
        let area = windows.area();
        let place = |at: usize| at / side * (2 * side - 1) + at % side;
        // what is not there: a query looks where the last one does, any query for such a key elsewhere
        let query_place = |at: usize| place(at.min(area - 1));
        let bias = |query: usize, key: usize| match key < area {
            true => query_place(query) + windows.difference(0, 0) - place(key),
            false => query_place(query) + no_key(&windows),
        };
        for (query, key) in (0..64).step_by(8).flat_map(|query| (0..64).map(move |key| (query, key))) {
            let word = |lane: usize| bias(query + lane / 4, key / 8 * 8 + lane % 4 * 2 + key % 2);
            assert!((0..LANES).all(|lane| word(lane) < table_pitch(&windows, 1)));
            assert_eq!(wavefronts((0..LANES).map(word)), 1, "windows of {side}, queries from {query}, key {key}");
        }
    }
}

#[test]
fn tables_of_a_group_are_written_without_conflict() {
    for (side, group) in [4, 7, 8, 12].into_iter().flat_map(|side| (1..5).map(move |group| (side, group))) {
        let windows = Windows { size: [side; 2], shift: [0; 2], pads_first: false };
        for first in (0..windows.differences() * group).step_by(32) {
            let word = |thread: usize| thread % group * table_pitch(&windows, group) + thread / group;
            assert_eq!(wavefronts((first..first + 32).map(word)), 1, "windows of {side}, {group} heads, from {first}");
        }
    }
}

#[test]
fn a_bias_is_that_of_the_difference() {
    let windows = Windows { size: [3, 5], shift: [0; 2], pads_first: false };
    let place = |at: usize| at / 5 * 9 + at % 5;
    for (query, key) in (0..15).flat_map(|query| (0..15).map(move |key| (query, key))) {
        assert_eq!(windows.difference(query, key), place(query) + windows.difference(0, 0) - place(key));
    }
}
