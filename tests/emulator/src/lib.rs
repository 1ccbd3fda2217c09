//! A CUDA driver that executes PTX without a GPU. So far it reads PTX; it executes nothing yet.

pub mod alu;
pub mod decode;
pub mod exec;
pub mod parse;
pub mod warp;
