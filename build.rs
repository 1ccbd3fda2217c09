//! Compiles `proto/` to Rust and to the description that reflection answers with; protox reads it, so that no protoc is needed.
//! Not here: what the calls do (`src/grpc`).

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use protox::prost::Message as _;

const PROTO: &str = "proto";
const FILES: [&str; 2] = ["open_inference.proto", "health.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO}");
    let files = protox::compile(FILES, [PROTO])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    fs::write(out.join("proto.bin"), files.encode_to_vec())?;
    tonic_prost_build::configure()
        .build_transport(false)
        // tensors stay where they came: a slice of the message's own bytes
        .bytes(".inference.ModelInferRequest.raw_input_contents")
        .bytes(".inference.InferTensorContents.bytes_contents")
        .bytes(".inference.ModelInferResponse.raw_output_contents")
        .compile_fds(files)?;
    Ok(())
}
