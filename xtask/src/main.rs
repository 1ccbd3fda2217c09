//! The one door to checks, tests and benchmarks.
fn main() {}
