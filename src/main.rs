//! The `convnext` command.
fn main() {}
