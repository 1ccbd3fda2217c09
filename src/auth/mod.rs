//! Who may ask: API keys from a file, what each may do and how much, and whether a client's certificate is needed.
//!
//! Not here: which route needs what (`http`, `grpc`), certificates themselves (`net`), when the file is read again (`reload`).

mod access;
mod bucket;
mod file;
mod limiter;
mod presented;
mod scope;

pub use access::{Access, Caller, Need, Policy, Refused};
pub use file::{Entry, Keys, Rate};
pub use scope::Scope;

/// The SHA-256 of a key, which is all that is kept of it.
pub type Digest = [u8; 32];

/// The digest of a key.
#[must_use]
pub fn digest(key: &[u8]) -> Digest {
    let mut digest = Digest::default();
    digest.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, key).as_ref());
    digest
}
