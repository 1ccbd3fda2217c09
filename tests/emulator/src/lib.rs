//! A CUDA driver that executes PTX without a GPU. So far it reads PTX; it executes nothing yet.

pub mod alu;
pub mod count;
pub mod decode;
pub mod driver;
pub mod exec;
pub mod launch;
pub mod memory;
pub mod parse;
pub mod program;
pub mod settings;
pub mod warp;
