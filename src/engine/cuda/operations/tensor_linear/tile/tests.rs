//! Tiles of the products of ConvNeXt and Swin on every card: busy, of shared memory that is there, whole.

use super::super::{LONGEST_NORM, MOST_NORMS};
use super::*;

const CARDS: [(&str, u32, u32, u32); 6] = [
    ("T4", 75, 40, 64),
    ("A100", 80, 108, 163),
    ("A10", 86, 72, 99),
    ("L4", 89, 58, 99),
    ("RTX 4090", 89, 128, 99),
    ("H100", 90, 132, 227),
];

fn cards() -> impl Iterator<Item = (&'static str, Card)> {
    CARDS.into_iter().map(|(name, capability, multiprocessors, shared)| {
        (name, Card { capability, multiprocessors, shared_per_block: shared << 10 })
    })
}

/// Rows of an image, N and K of ConvNeXt's (and Swin's) products with C channels in the first stage.
fn products(channels: usize) -> Vec<Product> {
    let mut products = Vec::new();
    let mut push = |rows, m, n, k| products.push(Product { rows, m, n, k, norms: 1 });
    for (stage, edge) in [56, 28, 14, 7].into_iter().enumerate() {
        let (c, rows) = (channels << stage, edge * edge);
        push(Source::Plain, rows, 4 * c, c);
        push(Source::Plain, rows, c, 4 * c);
        push(Source::Plain, rows, c, c);
        push(Source::Normed, rows, 3 * c, c);
        push(Source::Normed, rows, 4 * c, c);
        if stage < 3 {
            push(Source::Normed, rows / 4, 2 * c, 4 * c);
        }
    }
    products
}

#[test]
fn a_batch_keeps_every_card_busy() {
    let mut below = Vec::new();
    for (name, card) in cards() {
        for (images, channels) in [8, 64, 256].into_iter().flat_map(|images| [(images, 96), (images, 128)]) {
            // not merging: each of its blocks measures norms of four pixels, and fewer blocks end sooner
            let merges = |product: &Product| product.rows == Source::Normed && product.k > product.n;
            for product in products(channels).into_iter().filter(|product| !merges(product)) {
                let product = Product { m: images * product.m, ..product };
                let Product { m, n, k, .. } = product;
                let tile = tile(&card, &product);
                let busy = tile.busy(&card, &product);
                assert!(busy >= 0.68, "{name}: {m} × {n} × {k} by {tile:?} is {busy}");
                if busy < BUSY {
                    below.push((name, m, n, k));
                }
            }
        }
    }
    // 98 blocks of 128 rows on 72 multiprocessors; what fills these takes longer
    assert!(below.iter().all(|(name, m, ..)| (*name, *m) == ("A10", 6272)), "{below:?}");
}

#[test]
fn one_image_reaches_half_of_the_multiprocessors() {
    for (name, card) in cards() {
        let head = Product { rows: Source::Plain, m: 1, n: 1000, k: 768, norms: 1 };
        for product in [96, 128].into_iter().flat_map(products).chain([head]) {
            let Product { m, n, k, .. } = product;
            let tile = tile(&card, &product);
            let blocks = tile.blocks(&product);
            assert!(blocks >= card.few_blocks() as usize, "{name}: {m} × {n} × {k} by {tile:?}: {blocks} blocks");
        }
    }
}

#[test]
fn little_of_a_tile_lies_beyond_the_matrix() {
    for (name, card) in cards() {
        for product in products(96).into_iter().chain(products(128)) {
            let product = Product { m: 64 * product.m, ..product };
            let Product { m, n, k, .. } = product;
            let tile = tile(&card, &product);
            let computed = m.next_multiple_of(tile.shape.rows) * n.next_multiple_of(tile.shape.columns);
            // 512 columns are six tiles of 96 on T4, where one block of 128 × 128 and its norms fill a multiprocessor
            assert!((m * n) as f64 / computed as f64 > 0.88, "{name}: {m} × {n} × {k} by {tile:?}");
        }
    }
}

#[test]
fn every_tile_fits_into_shared_memory_and_one_of_them_with_the_most_norms() {
    for (name, card) in cards() {
        for (shape, rows) in SHAPES.iter().flat_map(|shape| [(shape, Source::Plain), (shape, Source::Normed)]) {
            let tile = Tile { tiles_per_split: 48, ..cut(&card, rows, shape, TILE_K, 1) };
            let product = Product { rows, m: 1, n: 1, k: 1536, norms: 1 };
            assert!(tile.shared(&product) <= card.shared_per_block as usize, "{name}: {tile:?}");
            let sums = shape.warps as usize * 16 * 36 * 4;
            assert!(sums <= tile.shared(&Product { rows: Source::Plain, ..product }), "{name}: {tile:?}");
        }
        for norms in [1, MOST_NORMS] {
            let product = Product { rows: Source::Normed, m: 9999, n: 9999, k: norms * LONGEST_NORM, norms };
            let tile = tile(&card, &product);
            assert!(tile.shared(&product) <= card.shared_per_block as usize, "{name}: {tile:?}");
        }
    }
}

#[test]
fn splits_have_all_of_k() {
    for (_, card) in cards() {
        for k in [8, 96, 768, 1000, 3072, 4096] {
            let tile = tile(&card, &Product { rows: Source::Plain, m: 49, n: 96, k, norms: 1 });
            let all = k.div_ceil(TILE_K) as u32;
            let (splits, each) = (tile.splits, tile.tiles_per_split);
            assert!(splits * each >= all && (splits - 1) * each < all, "{k}: {tile:?}");
        }
    }
}
