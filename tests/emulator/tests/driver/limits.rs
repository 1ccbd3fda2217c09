//! What the device and its functions say about themselves: `hardware/limits.py`.

use cuda_emulator::driver::code::Code;
use cuda_emulator::driver::pointer::{Out, Static};
use cuda_emulator::driver::*;
use serde_json::{Map, Value, json};

use crate::Case;
use crate::log::{DYNAMIC_SHARED, Log, call, quiet};

pub(crate) const CASES: &[Case] = &[
    ("cooperative", |log| {
        for blocks in [132, 132 * 16, 132 * 32, 132 * 32 + 1, 132 * 64] {
            let launch = log.launch("empty").grid([blocks, 1, 1]).threads(64).cooperative();
            launch.note(format!("{blocks} blocks of 64")).run();
        }
        call!(log, cuCtxSynchronize());
    }),
    ("function_attributes", |log| {
        for name in ["empty", "dynamic", "static_16384", "many_registers", "most_64", "exactly_64", "local_far"] {
            let (function, mut value) = (log.kernel(name), 0);
            let mut row = Map::new();
            for attribute in 0..16 {
                // SAFETY: the place of the value lives.
                let code = unsafe { cuFuncGetAttribute(Out::from(&mut value), attribute, function) };
                row.insert(attribute.to_string(), or_error(code, value));
            }
            log.say(format!("cuFuncGetAttribute {name}"), row);
        }
    }),
    ("occupancy", occupancy),
    ("device", device),
    ("device_attributes", |log| {
        for (number, name) in crate::recorded_attributes() {
            let mut value = 0;
            // SAFETY: the place of the value lives.
            let code = unsafe { cuDeviceGetAttribute(Out::from(&mut value), number, 0) };
            log.say(name, or_error(code, value));
        }
    }),
    ("error_names", |log| {
        for code in (0..1000).map(Code) {
            let (mut name, mut text) = (Static::NULL, Static::NULL);
            // SAFETY: the places of the texts live.
            if unsafe { cuGetErrorName(code, Out::from(&mut name)) } == Code::SUCCESS {
                quiet!(cuGetErrorString(code, Out::from(&mut text)));
                let row = json!([code.0, [name.read().unwrap(), text.read().unwrap()]]);
                log.calls.push(row);
            }
        }
    }),
];

fn or_error(code: Code, value: impl Into<Value>) -> Value {
    if code == Code::SUCCESS { value.into() } else { format!("error {}", code.0).into() }
}

fn occupancy(log: &mut Log) {
    let (mut count, mut grid, mut block, mut size) = (0, 0, 0, 0usize);
    for name in ["empty", "dynamic", "many_registers"] {
        let function = log.kernel(name);
        let mut sizes = [0].as_slice();
        if name == "dynamic" {
            quiet!(cuFuncSetAttribute(function, DYNAMIC_SHARED, 232_448));
            sizes = &[0, 1024, 16384, 32768, 49152, 65536, 101_376, 116_736, 232_448];
        }
        for threads in [32, 64, 96, 128, 256, 512, 1024] {
            for shared in sizes.iter().copied() {
                let out = Out::from(&mut count);
                // SAFETY: the place of the value lives.
                let code = unsafe { cuOccupancyMaxActiveBlocksPerMultiprocessor(out, function, threads, shared) };
                log.say(format!("blocks of {name}, {threads} threads, {shared} bytes"), or_error(code, count));
            }
        }
        let places = (Out::from(&mut grid), Out::from(&mut block));
        // SAFETY: the places of the values live.
        let code = unsafe { cuOccupancyMaxPotentialBlockSize(places.0, places.1, function, None, 0, 0) };
        log.say(format!("cuOccupancyMaxPotentialBlockSize {name}"), json!([code.0, grid, block]));
        // SAFETY: as above.
        let code = unsafe { cuOccupancyAvailableDynamicSMemPerBlock(Out::from(&mut size), function, 2, 128) };
        log.say(format!("cuOccupancyAvailableDynamicSMemPerBlock {name}, 2 blocks of 128"), json!([code.0, size]));
    }
}

fn device(log: &mut Log) {
    let (mut name, mut version, mut total, mut free) = ([0u8; 128], 0, 0usize, 0usize);
    quiet!(cuDeviceGetName(Out::from(&mut name[0]), 128, 0));
    let text = name.split(|byte| *byte == 0).next().unwrap_or_default();
    log.say("cuDeviceGetName", String::from_utf8_lossy(text));
    quiet!(cuDriverGetVersion(Out::from(&mut version)));
    log.say("cuDriverGetVersion", version);
    quiet!(cuDeviceTotalMem_v2(Out::from(&mut total), 0));
    log.say("cuDeviceTotalMem_v2", total);
    quiet!(cuMemGetInfo_v2(Out::from(&mut free), Out::from(&mut total)));
    log.say("cuMemGetInfo_v2 total", total);
    log.say("cuMemGetInfo_v2 free, MiB, in an otherwise idle process", free >> 20);
    for limit in 0..9 {
        // SAFETY: the place of the value lives.
        let code = unsafe { cuCtxGetLimit(Out::from(&mut total), limit) };
        log.say(format!("cuCtxGetLimit {limit}"), or_error(code, total));
    }
    let (mut low, mut high, mut flags) = (0, 0, 0u32);
    call!(log, cuCtxGetStreamPriorityRange(Out::from(&mut low), Out::from(&mut high)));
    log.say("stream priorities", json!([low, high]));
    call!(log, cuCtxGetFlags(Out::from(&mut flags)));
    log.say("context flags", flags);
    call!(log, cuCtxGetApiVersion(log.context, Out::from(&mut flags)));
    log.say("context's API version", flags);
}
