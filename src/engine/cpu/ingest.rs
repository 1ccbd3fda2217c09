//! Staged images one after another, for a program whose first operation is no patchify: that one reads them where they are.

use super::maps::Maps;
use super::run::Run;

/// Copies the images of a batch.
pub(super) fn copy(run: Run<'_>, input: Maps<'_>, output: &mut [f32]) {
    let lap = run.clock.lap();
    let mut image = 0;
    let mut rest = output;
    while !rest.is_empty() {
        let from = input.image(image);
        let (to, after) = rest.split_at_mut(from.len());
        to.copy_from_slice(from);
        (rest, image) = (after, image + 1);
    }
    lap.end(0);
}
