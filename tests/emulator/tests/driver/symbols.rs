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
