//! What every kernel runs with. Not here: what it computes.

use super::clock::Clock;
use super::threads::Threads;
use crate::engine::cpu::simd::instructions::Instructions;

/// The instructions, the threads and the clock of a step.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) instructions: Instructions,
    pub(crate) threads: &'a Threads,
    pub(crate) clock: Clock<'a>,
}
