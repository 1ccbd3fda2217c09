//! Counts, held to Nsight Compute's of an H100 (`hardware/recordings/counters.json`) and to those worked out by hand.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod by_hand;
mod emulated;
mod patterns;
mod recorded;
