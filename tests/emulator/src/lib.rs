//! A CUDA driver that executes PTX without a GPU, checks it and counts. `README.md` says what it is and what it does not model.

pub mod alu;
pub mod count;
pub mod decode;
pub mod driver;
pub mod exec;
pub mod launch;
pub mod memory;
pub mod parse;
pub mod program;
pub mod sample;
pub mod settings;
pub mod warp;
