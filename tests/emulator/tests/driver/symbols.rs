//! What clients look up is there.

use std::ffi::CString;

use cuda_emulator::driver::code::Code;
use cuda_emulator::driver::cuGetProcAddress_v2;
use cuda_emulator::driver::pointer::{Address, Out, Text};

/// The code and the status of a look-up, and whether there is a function.
fn look_up(name: &str, version: i32) -> (Code, u32, bool) {
    let (name, mut address, mut status) = (CString::new(name).unwrap(), Address::NULL, 9);
    let (out, text) = (Out::from(&mut address), Text::from(name.as_c_str()));
    let code = unsafe { cuGetProcAddress_v2(text, out, version, 0, Out::from(&mut status)) };
    (code, status, !address.is_null())
}

#[test]
fn every_function_that_cudarc_names_is_exported() {
    let names = include_str!("symbols.txt").lines().filter(|line| !line.starts_with('#'));
    let missing: Vec<&str> = names.filter(|name| look_up(name, 12_040) != (Code::SUCCESS, 0, true)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn functions_are_found_by_the_names_that_c_knows() {
    for name in ["cuInit", "cuMemAlloc", "cuStreamBeginCapture", "cuCtxCreate", "cuMemcpyHtoDAsync"] {
        assert_eq!(look_up(name, 12_040), (Code::SUCCESS, 0, true), "{name}");
    }
    assert_eq!(look_up("cuNothing", 12_040), (Code::NOT_FOUND, 1, false));
}

/// The place of a name for a version.
fn place(name: &str, version: i32) -> Option<String> {
    let (name, mut address) = (CString::new(name).unwrap(), Address::NULL);
    let (out, text) = (Out::from(&mut address), Text::from(name.as_c_str()));
    let code = unsafe { cuGetProcAddress_v2(text, out, version, 0, Out::NULL) };
    (code == Code::SUCCESS).then(|| format!("{address:?}"))
}

/// A name means the form of the version that is asked for: those take other arguments.
#[test]
fn names_mean_what_they_meant_in_the_version_that_is_asked_for() {
    // a name with its suffix is one function whatever the version
    let exact = |name: &str| place(name, 13_000).unwrap_or_else(|| panic!("{name}"));
    for (name, version, full) in [
        ("cuStreamGetCaptureInfo", 11_030, "cuStreamGetCaptureInfo_v2"),
        ("cuStreamGetCaptureInfo", 12_020, "cuStreamGetCaptureInfo_v2"),
        ("cuStreamGetCaptureInfo", 12_030, "cuStreamGetCaptureInfo_v3"),
        ("cuGraphExecUpdate", 12_000, "cuGraphExecUpdate_v2"),
        ("cuGraphInstantiate", 11_040, "cuGraphInstantiate_v2"),
        ("cuGraphInstantiate", 12_000, "cuGraphInstantiateWithFlags"),
        ("cuMemPrefetchAsync", 12_020, "cuMemPrefetchAsync_v2"),
        ("cuMemAdvise", 13_000, "cuMemAdvise_v2"),
        ("cuCtxCreate", 3_020, "cuCtxCreate_v2"),
        ("cuCtxCreate", 11_040, "cuCtxCreate_v3"),
        ("cuCtxCreate", 12_050, "cuCtxCreate_v4"),
        ("cuGraphKernelNodeSetParams", 12_000, "cuGraphKernelNodeSetParams_v2"),
        ("cuGraphExecKernelNodeSetParams", 12_040, "cuGraphExecKernelNodeSetParams_v2"),
        ("cuGetProcAddress", 12_000, "cuGetProcAddress_v2"),
        ("cuMemAlloc", 12_040, "cuMemAlloc_v2"),
    ] {
        assert_eq!(place(name, version), Some(exact(full)), "{name} of {version}");
    }
    for (name, old, new) in [
        ("cuStreamGetCaptureInfo", 10_010, 11_030),
        ("cuGraphExecUpdate", 10_020, 12_000),
        ("cuMemPrefetchAsync", 8_000, 12_020),
        ("cuGraphExecKernelNodeSetParams", 10_010, 12_000),
        ("cuStreamBeginCapture", 10_000, 10_010),
    ] {
        assert!(place(name, old).is_some() && place(name, old) != place(name, new), "{name}");
    }
    // there is the name, but not yet
    assert_eq!(look_up("cuGraphExecUpdate", 10_000), (Code::NOT_FOUND, 2, false));
}
