//! `cuGetProcAddress`: functions by the names that clients compile against, without the version that C's macros add.

#![expect(unsafe_code, reason = "the boundary to C")]

use super::super::code::Code;
use super::api;
use super::pointer::{Address, Out, Text};

/// The flag that asks for variants whose null stream is a thread's own. There are none.
const PER_THREAD: u64 = 2;

/// What became of it: found, no such name, asked for an older version than there is.
const FOUND: u32 = 0;
const NOT_FOUND: u32 = 1;
const TOO_OLD: u32 = 2;

/// Names that mean functions with other arguments by the version that is asked for, from which version on, as `cudaTypedefs.h` has it. Other
/// names mean one function, whatever its suffix.
#[rustfmt::skip]
const VERSIONS: &[(&str, &[(i32, &str)])] = &[
    ("cuCtxCreate", &[(3_020, "cuCtxCreate_v2"), (11_040, "cuCtxCreate_v3"), (12_050, "cuCtxCreate_v4")]),
    ("cuDeviceGetUuid", &[(9_020, "cuDeviceGetUuid"), (11_040, "cuDeviceGetUuid_v2")]),
    ("cuEventElapsedTime", &[(2_000, "cuEventElapsedTime"), (12_080, "cuEventElapsedTime_v2")]),
    ("cuGetProcAddress", &[(11_030, "cuGetProcAddress"), (12_000, "cuGetProcAddress_v2")]),
    ("cuGraphExecKernelNodeSetParams", &[(10_010, "cuGraphExecKernelNodeSetParams"), (12_000, "cuGraphExecKernelNodeSetParams_v2")]),
    ("cuGraphExecUpdate", &[(10_020, "cuGraphExecUpdate"), (12_000, "cuGraphExecUpdate_v2")]),
    ("cuGraphInstantiate", &[(10_000, "cuGraphInstantiate"), (11_000, "cuGraphInstantiate_v2"), (12_000, "cuGraphInstantiateWithFlags")]),
    ("cuGraphKernelNodeGetParams", &[(10_000, "cuGraphKernelNodeGetParams"), (12_000, "cuGraphKernelNodeGetParams_v2")]),
    ("cuGraphKernelNodeSetParams", &[(10_000, "cuGraphKernelNodeSetParams"), (12_000, "cuGraphKernelNodeSetParams_v2")]),
    ("cuMemAdvise", &[(8_000, "cuMemAdvise"), (12_020, "cuMemAdvise_v2")]),
    ("cuMemPrefetchAsync", &[(8_000, "cuMemPrefetchAsync"), (12_020, "cuMemPrefetchAsync_v2")]),
    ("cuStreamBeginCapture", &[(10_000, "cuStreamBeginCapture"), (10_010, "cuStreamBeginCapture_v2")]),
    ("cuStreamGetCaptureInfo", &[
        (10_010, "cuStreamGetCaptureInfo"), (11_030, "cuStreamGetCaptureInfo_v2"), (12_030, "cuStreamGetCaptureInfo_v3"),
    ]),
    ("cuStreamUpdateCaptureDependencies", &[
        (11_030, "cuStreamUpdateCaptureDependencies"), (12_030, "cuStreamUpdateCaptureDependencies_v2"),
    ]),
];

/// The function that a name means to who asks for a version; else why there is none.
fn find(name: &str, version: i32) -> Result<Address, u32> {
    let exported = |full: &str| {
        let found = super::EXPORTED.iter().flat_map(|part| part.iter()).find(|(exported, _)| *exported == full);
        found.map(|(_, function)| Address::of(*function))
    };
    if let Some((_, forms)) = VERSIONS.iter().find(|(versioned, _)| *versioned == name) {
        let form = forms.iter().rev().find(|(since, _)| *since <= version).ok_or(TOO_OLD)?;
        return exported(form.1).ok_or(NOT_FOUND);
    }
    ["_v2", ""].iter().find_map(|suffix| exported(&format!("{name}{suffix}"))).ok_or(NOT_FOUND)
}

fn look_up(name: Text, out: Out<Address>, version: i32, flags: u64) -> Result<u32, Code> {
    out.needed()?;
    let name = name.read().ok_or(Code::INVALID_VALUE)?;
    let found = if flags & PER_THREAD == 0 { find(&name, version) } else { Err(NOT_FOUND) };
    out.offer(found.unwrap_or(Address::NULL));
    Ok(found.err().unwrap_or(FOUND))
}

fn found(status: u32) -> Result<(), Code> {
    if status == FOUND { Ok(()) } else { Err(Code::NOT_FOUND) }
}

api! {
    fn cuGetProcAddress(name: Text, out: Out<Address>, version: i32, flags: u64) {
        found(look_up(name, out, version, flags)?)
    }

    fn cuGetProcAddress_v2(name: Text, out: Out<Address>, version: i32, flags: u64, status: Out<u32>) {
        let outcome = look_up(name, out, version, flags)?;
        status.offer(outcome);
        found(outcome)
    }
}
