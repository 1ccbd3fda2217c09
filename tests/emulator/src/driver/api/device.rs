//! Initialisation, the device, names of errors, the profiler that there is none of.

#![expect(unsafe_code, reason = "the boundary to C")]

use std::sync::Arc;

use super::super::attributes::attribute;
use super::super::code::Code;
use super::super::device::Device;
use super::super::state::{driver, init};
use super::api;
use super::pointer::{Out, Static, Text};

/// `CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID`, and what it is of the first.
const PCI_DEVICE_ID: u32 = 34;
const FIRST_PCI: usize = 6;

/// CUDA 13.0, as on the card that was recorded.
const VERSION: i32 = 13_000;

/// The device of an ordinal.
fn device(ordinal: i32) -> Result<Arc<Device>, Code> {
    driver()?.lock().device(ordinal).map(|installed| Arc::clone(&installed.device))
}

/// Where it is: the first where the recorded card was, the others beside it.
fn place(device: &Device) -> String {
    format!("0000:00:{:02x}.0", FIRST_PCI + device.ordinal)
}

/// Stores as much of a text as there is room for, and a zero.
fn fill(out: Out<u8>, length: i32, text: &str) -> Result<(), Code> {
    out.needed()?;
    let room = usize::try_from(length).ok().and_then(|length| length.checked_sub(1)).ok_or(Code::INVALID_VALUE)?;
    let bytes = text.bytes().take(room).chain([0]);
    bytes.enumerate().for_each(|(at, byte)| out.put(at, byte));
    Ok(())
}

fn uuid(device: &Device) -> [u8; 16] {
    let sm = device.card.sm as u8;
    let mut uuid = *b"emulated sm_00\0\0";
    uuid[12..14].copy_from_slice(&[b'0' + sm / 10, b'0' + sm % 10]);
    uuid[15] = device.ordinal as u8;
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
        out.set(device(ordinal)?.ordinal as i32)
    }

    fn cuDeviceGetCount(out: Out<i32>) {
        out.set(driver()?.lock().devices.len() as i32)
    }

    fn cuDeviceGetName(out: Out<u8>, length: i32, ordinal: i32) {
        fill(out, length, device(ordinal)?.card.name)
    }

    fn cuDeviceGetUuid(out: Out<[u8; 16]>, ordinal: i32) {
        out.set(uuid(&*device(ordinal)?))
    }

    fn cuDeviceGetUuid_v2(out: Out<[u8; 16]>, ordinal: i32) {
        out.set(uuid(&*device(ordinal)?))
    }

    fn cuDeviceTotalMem_v2(out: Out<usize>, ordinal: i32) {
        out.set(device(ordinal)?.card.memory as usize)
    }

    fn cuDeviceGetAttribute(out: Out<i32>, number: u32, ordinal: i32) {
        let device = device(ordinal)?;
        let value = if number == PCI_DEVICE_ID { Some((FIRST_PCI + device.ordinal) as i32) } else { attribute(device.card, number) };
        out.set(value.ok_or(Code::INVALID_VALUE)?)
    }

    fn cuDeviceComputeCapability(major: Out<i32>, minor: Out<i32>, ordinal: i32) {
        let sm = device(ordinal)?.card.sm as i32;
        major.set(sm / 10)?;
        minor.set(sm % 10)
    }

    fn cuDeviceGetPCIBusId(out: Out<u8>, length: i32, ordinal: i32) {
        fill(out, length, &place(&*device(ordinal)?))
    }

    fn cuDeviceGetByPCIBusId(out: Out<i32>, id: Text) {
        let state = driver()?.lock();
        let id = id.read().ok_or(Code::INVALID_VALUE)?;
        let mut devices = state.devices.iter();
        let found = devices.find(|installed| !id.is_empty() && place(&installed.device).ends_with(&id));
        out.set(found.ok_or(Code::INVALID_DEVICE)?.device.ordinal as i32)
    }

    fn cuProfilerStart() {
        driver()?.check()
    }

    fn cuProfilerStop() {
        driver()?.check()
    }
}
