//! What `build.rs` makes of `proto/`: messages, services, clients for tests, and the description for reflection.
//! Not here: what the calls do.
#![allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated; proto/ has the comments")]

/// The Open Inference Protocol.
pub mod inference {
    tonic::include_proto!("inference");
}

/// gRPC's health checking.
pub mod health {
    tonic::include_proto!("grpc.health.v1");
}

/// Both as an encoded `FileDescriptorSet`.
pub const DESCRIPTION: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/proto.bin"));
