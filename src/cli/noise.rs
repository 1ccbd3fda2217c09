//! Images made by a seed, for commands that need some and no photographs. Not here: what is done with them.

/// Noise over a brightness of its own, so that two images differ in the mean as well as in detail; `size` bytes.
pub(super) fn image(index: u64, size: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(index);
    let (low, span) = (random.u8(..128), random.u8(32..128));
    (0..size).map(|_| low + random.u8(..span)).collect()
}
