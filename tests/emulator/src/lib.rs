//! A CUDA driver that executes PTX without a GPU. So far it reads PTX; it executes nothing yet.

pub mod parse;
