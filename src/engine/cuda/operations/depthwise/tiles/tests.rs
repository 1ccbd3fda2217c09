//! Tiles lie in shared memory without conflicts, fit, and are many enough. Not here: what kernels compute with them (`proof`).

use std::collections::BTreeSet;

use super::*;

/// T4, A100, A10, L4, RTX 4090, H100.
const CARDS: [Card; 6] = [
    Card { capability: 75, multiprocessors: 40, shared_per_block: 64 << 10 },
    Card { capability: 80, multiprocessors: 108, shared_per_block: 163 << 10 },
    Card { capability: 86, multiprocessors: 72, shared_per_block: 99 << 10 },
    Card { capability: 89, multiprocessors: 58, shared_per_block: 99 << 10 },
    Card { capability: 89, multiprocessors: 128, shared_per_block: 99 << 10 },
    Card { capability: 90, multiprocessors: 132, shared_per_block: 227 << 10 },
];
/// The maps of ConvNeXt-T and -B.
const MAPS: [[usize; 3]; 8] = [
    [56, 56, 96],
    [28, 28, 192],
    [14, 14, 384],
    [7, 7, 768],
    [56, 56, 128],
    [28, 28, 256],
    [14, 14, 512],
    [7, 7, 1024],
];

/// How often the busiest bank of shared memory is met, by accesses of `words` words each, at these words: as hardware does it, so many
/// lanes at a time that they ask for 32 words.
fn rounds(places: &[usize], words: usize) -> usize {
    let phases = places.chunks(32 / words);
    let busiest = phases.map(|phase| {
        let mut asked: Vec<usize> = phase.iter().flat_map(|place| *place..place + words).collect();
        asked.sort_unstable();
        asked.dedup();
        (0..32).map(|bank| asked.iter().filter(|word| *word % 32 == bank).count()).max().unwrap_or(0)
    });
    busiest.max().unwrap_or(0)
}

/// Every tile that a launch may have.
fn all_tiles() -> impl Iterator<Item = (Tiles, bool)> {
    let strips = [32, 16, 8].into_iter().flat_map(|pairs| {
        [6, 4, 3, 2, 1].map(|warps| Tiles {
            rows: 14,
            column_pairs: warps * 32 / pairs,
            pairs,
            norm: Normed::Nobody,
            turns: 1,
        })
    });
    let strips = strips.filter(|tiles| tiles.column_pairs >= 4).map(|tiles| (tiles, false));
    let shapes = [96, 128, 160, 192, 256, 320, 384, 512, 768].map(|channels| [56, 56, channels]);
    let fused = shapes.into_iter().flat_map(|shape| CARDS.map(|card| Tiles::fused(shape, 7, Type::F16, &card, 64)));
    strips.chain(fused.flatten().map(|tiles| (tiles, true)))
}

impl Map {
    /// As `vector_at` of the kernel.
    fn vector(&self, part: usize, column: usize) -> usize {
        part % 2 * self.plane + part / 2 * self.two_planes + column
    }
}

impl Tiles {
    /// The first column of a thread, as the kernel has it.
    fn first_column(&self, thread: usize, fused: bool) -> usize {
        let turn = thread / self.pairs;
        let pair = if fused && self.column_pairs.is_multiple_of(4) {
            turn / 4 * 4 + turn % 2 * 2 + turn / 2 % 2
        } else {
            turn
        };
        pair * COLUMNS
    }
}

#[test]
fn no_read_of_a_tile_meets_a_bank_twice() {
    for (tiles, fused) in all_tiles() {
        let map = tiles.map();
        for warp in 0..tiles.threads() / 32 {
            let places = (warp * 32..warp * 32 + 32).map(|thread| {
                let pair = thread % tiles.pairs;
                4 * map.vector(pair / 4, tiles.first_column(thread, fused)) + pair % 4
            });
            let places: Vec<usize> = places.collect();
            assert_eq!(rounds(&places, 1), 1, "{tiles:?}, warp {warp}");
        }
    }
}

#[test]
fn vectors_of_a_tile_lie_apart() {
    for (tiles, _) in all_tiles() {
        let map = tiles.map();
        let columns = tiles.columns() + 2 * HALO;
        let mut places: Vec<usize> =
            (0..tiles.pairs / 4).flat_map(|part| (0..columns).map(move |column| map.vector(part, column))).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), tiles.pairs / 4 * columns, "{tiles:?}");
        assert!(places.last() < Some(&map.row), "{tiles:?}");
    }
}

#[test]
fn no_copy_into_a_tile_meets_a_bank_twice() {
    for (tiles, fused) in all_tiles() {
        let (map, parts) = (tiles.map(), tiles.pairs / 4);
        let columns = tiles.columns() + 2 * HALO;
        let column = |slot: usize| {
            let turn = slot / parts;
            let within = if fused { turn % 2 * 4 + turn / 2 % 4 } else { turn % 4 * 2 + turn / 4 % 2 };
            turn / 8 * 8 + within
        };
        let slots = columns.next_multiple_of(8) * parts;
        let all: BTreeSet<usize> = (0..slots).map(column).collect();
        assert!(all.into_iter().eq(0..columns.next_multiple_of(8)), "{tiles:?} copies each column");
        assert!(slots <= tiles.threads() * if fused { 2 } else { 1 }, "{tiles:?} has a thread for each vector");
        for first in (0..slots).step_by(8) {
            let slots = (first..first + 8).filter(|slot| column(*slot) < columns);
            let places: Vec<usize> = slots.map(|slot| 4 * map.vector(slot % parts, column(slot))).collect();
            assert!(rounds(&places, 4) <= 1, "{tiles:?}, fused: {fused}, from {first}");
        }
    }
}

#[test]
fn no_access_of_a_norms_sums_meets_a_bank_twice() {
    for (tiles, _) in all_tiles().filter(|(_, fused)| *fused) {
        let pitch = 2 * tiles.pairs + 4;
        for first in (0..tiles.threads()).step_by(32) {
            let places =
                (first..first + 32).map(|thread| tiles.first_column(thread, true) * pitch + thread % tiles.pairs * 2);
            assert_eq!(rounds(&places.collect::<Vec<_>>(), 2), 1, "{tiles:?}");
        }
        let places = (0..32).map(|lane| lane / 4 * pitch + lane % 4 * VECTOR);
        assert_eq!(rounds(&places.collect::<Vec<_>>(), 4), 1, "{tiles:?}");
    }
}

#[test]
fn one_image_gives_half_of_the_multiprocessors_a_block() {
    for (card, shape) in CARDS.iter().flat_map(|card| MAPS.map(|shape| (card, shape))) {
        for norm in [false, true] {
            let tiles = Tiles::best(shape, 7, norm, Type::F16, card, 1).expect("a tile");
            let blocks = tiles.blocks(shape, 1);
            assert!(blocks >= card.few_blocks() as usize, "{blocks} blocks of {tiles:?} of {shape:?} on {card:?}");
        }
    }
}

#[test]
fn a_block_fits_into_its_multiprocessor() {
    for (card, shape) in CARDS.iter().flat_map(|card| MAPS.map(|shape| (card, shape))) {
        for images in [1, 2, 8, 64, 256] {
            for norm in [false, true] {
                let tiles = Tiles::strip(shape, 7, norm, Type::F16, card, images).expect("a tile");
                assert!(tiles.shared() <= card.shared_per_block as usize && tiles.threads() <= WARPS * 32, "{tiles:?}");
            }
            let fused = Tiles::fused(shape, 7, Type::F16, card, images);
            assert!(fused.is_none_or(|tiles| tiles.shared() <= card.shared_per_block as usize), "{fused:?}");
        }
    }
}

#[test]
fn every_tile_is_normed_by_one_block() {
    for (card, shape) in CARDS.iter().flat_map(|card| MAPS.map(|shape| (card, shape))) {
        for images in [1, 8, 64, 256] {
            let tiles = Tiles::best(shape, 7, true, Type::F16, card, images).expect("a tile");
            // shown with --nocapture
            eprintln!(
                "{} {shape:?} × {images}: {} blocks of {tiles:?}, {:.0} clocks",
                card.capability,
                tiles.blocks(shape, images),
                tiles.clocks(shape, card, images)
            );
            let counters = tiles.shared_positions(shape, images);
            let all = counters * tiles.turns;
            let count = tiles.count(shape, images);
            assert!(
                tiles.has_all_channels() != (counters > 0 && all >= count && all < count + tiles.turns),
                "{tiles:?}"
            );
        }
    }
}
