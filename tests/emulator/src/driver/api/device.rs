//! Initialisation, the device, names of errors, the profiler that there is none of.

#![expect(unsafe_code, reason = "the boundary to C")]

use super::super::attributes::attribute;
use super::super::code::Code;
use super::super::state::{Driver, driver, init};
use super::api;
use super::pointer::{Out, Static, Text};

/// CUDA 13.0, as on the card that was recorded.
const VERSION: i32 = 13_000;

/// Where the recorded card was.
const PCI: &str = "0000:00:06.0";

/// The driver, asked for the only device.
fn device(device: i32) -> Result<&'static Driver, Code> {
    let driver = driver()?;
    if device == 0 { Ok(driver) } else { Err(Code::INVALID_DEVICE) }
}

/// Stores as much of a text as there is room for, and a zero.
fn fill(out: Out<u8>, length: i32, text: &str) -> Result<(), Code> {
    out.needed()?;
    let room = usize::try_from(length).ok().and_then(|length| length.checked_sub(1)).ok_or(Code::INVALID_VALUE)?;
    let bytes = text.bytes().take(room).chain([0]);
    bytes.enumerate().for_each(|(at, byte)| out.put(at, byte));
    Ok(())
}

fn uuid(driver: &Driver) -> [u8; 16] {
    let sm = driver.lock().device.card.sm as u8;
    let mut uuid = *b"emulated sm_00\0\0";
    uuid[12..14].copy_from_slice(&[b'0' + sm / 10, b'0' + sm % 10]);
    uuid
}

api! {
    fn cuInit(flags: u32) {
        init(flags)
    }

    fn cuDriverGetVersion(version: Out<i32>) {
        version.set(VERSION)
    }

    fn cuGetErrorName(error: Code, name: Out<Static>) {
        name.needed()?;
        name.offer(error.name().map_or(Static::NULL, Static::from));
        error.name().map(|_| ()).ok_or(Code::INVALID_VALUE)
    }

    fn cuGetErrorString(error: Code, text: Out<Static>) {
        text.needed()?;
        text.offer(error.text().map_or(Static::NULL, Static::from));
        error.text().map(|_| ()).ok_or(Code::INVALID_VALUE)
    }

    fn cuDeviceGet(out: Out<i32>, ordinal: i32) {
        device(ordinal)?;
        out.set(0)
    }

    fn cuDeviceGetCount(out: Out<i32>) {
        driver()?;
        out.set(1)
    }

    fn cuDeviceGetName(out: Out<u8>, length: i32, ordinal: i32) {
        let driver = device(ordinal)?;
        fill(out, length, driver.lock().device.card.name)
    }

    fn cuDeviceGetUuid(out: Out<[u8; 16]>, ordinal: i32) {
        out.set(uuid(device(ordinal)?))
    }

    fn cuDeviceGetUuid_v2(out: Out<[u8; 16]>, ordinal: i32) {
        out.set(uuid(device(ordinal)?))
    }

    fn cuDeviceTotalMem_v2(out: Out<usize>, ordinal: i32) {
        out.set(device(ordinal)?.lock().device.card.memory as usize)
    }

    fn cuDeviceGetAttribute(out: Out<i32>, number: u32, ordinal: i32) {
        let driver = device(ordinal)?;
        out.set(attribute(driver.lock().device.card, number).ok_or(Code::INVALID_VALUE)?)
    }

    fn cuDeviceComputeCapability(major: Out<i32>, minor: Out<i32>, ordinal: i32) {
        let sm = device(ordinal)?.lock().device.card.sm as i32;
        major.set(sm / 10)?;
        minor.set(sm % 10)
    }

    fn cuDeviceGetPCIBusId(out: Out<u8>, length: i32, ordinal: i32) {
        device(ordinal)?;
        fill(out, length, PCI)
    }

    fn cuDeviceGetByPCIBusId(out: Out<i32>, id: Text) {
        driver()?;
        let id = id.read().ok_or(Code::INVALID_VALUE)?;
        if !id.is_empty() && PCI.ends_with(&id) { out.set(0) } else { Err(Code::INVALID_DEVICE) }
    }

    fn cuDeviceCanAccessPeer(out: Out<i32>, one: i32, other: i32) {
        device(one)?;
        device(other)?;
        out.set(0)
    }

    fn cuProfilerStart() {
        driver()?.check()
    }

    fn cuProfilerStop() {
        driver()?.check()
    }
}
