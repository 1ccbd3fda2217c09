//! `cuGetProcAddress`: functions by the names that clients compile against, without the version that C's macros add.

#![expect(unsafe_code, reason = "the boundary to C")]

use super::super::code::Code;
use super::api;
use super::pointer::{Address, Out, Text};

/// The flag that asks for variants whose null stream is a thread's own. There are none.
const PER_THREAD: u64 = 2;

/// What became of it.
const FOUND: u32 = 0;
const NOT_FOUND: u32 = 1;

fn find(name: &str, version: i32) -> Option<Address> {
    // The fourth form of `cuCtxCreate` is of CUDA 12.5; to who asked for less, its name means the one before.
    let suffixes: &[&str] = if version >= 12_050 { &["_v4", "_v3", "_v2", ""] } else { &["_v2", ""] };
    suffixes.iter().find_map(|suffix| {
        let full = format!("{name}{suffix}");
        let mut all = super::EXPORTED.iter().flat_map(|part| part.iter());
        all.find(|(exported, _)| *exported == full).map(|(_, function)| Address::of(*function))
    })
}

fn look_up(name: Text, out: Out<Address>, version: i32, flags: u64) -> Result<(), Code> {
    out.needed()?;
    let name = name.read().ok_or(Code::INVALID_VALUE)?;
    let found = find(&name, version).filter(|_| flags & PER_THREAD == 0);
    out.offer(found.unwrap_or(Address::NULL));
    found.map(|_| ()).ok_or(Code::NOT_FOUND)
}

api! {
    fn cuGetProcAddress(name: Text, out: Out<Address>, version: i32, flags: u64) {
        look_up(name, out, version, flags)
    }

    fn cuGetProcAddress_v2(name: Text, out: Out<Address>, version: i32, flags: u64, status: Out<u32>) {
        let outcome = look_up(name, out, version, flags);
        status.offer(if outcome.is_ok() { FOUND } else { NOT_FOUND });
        outcome
    }
}
