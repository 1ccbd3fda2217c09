//! Where the emulator is to answer otherwise than the card, and why. Everything else is answered alike.

use serde_json::{Value, json};

/// Another answer in a case: case, which call, our answer, and the reason.
type Deviation = (&'static str, Call, i64, &'static str);

enum Call {
    /// Each of this name and note.
    Each(&'static str),
    /// In which the card's process crashed, so that nothing was recorded any more.
    Crash(&'static str),
}

use Call::{Crash, Each};

const ALLOCATIONS: &str =
    "an access past an allocation, or to a freed one, is a fault however near: what the emulator is for";
const STREAMS: &str = "the card's driver crashes when a destroyed stream is used; this one says so, and answers as where the card survives";
const SASS: &str = "nothing here executes binary code, so that whoever has PTX beside it uses that";
const REGISTERS: &str =
    "only the assembler knows how many registers a kernel needs: here none is counted, and none bounds anything";

/// The assembler's words, and the time that this machine took.
const NOT_COMPARED: &[&str] = &["error log", "elapsed time within 10 ms of 300"];

const ALL: &[Deviation] = &[
    ("store_just_past_allocation", Each("cuCtxSynchronize"), 700, ALLOCATIONS),
    ("store_just_past_allocation", Each("cuLaunchKernel at +65536"), 700, ALLOCATIONS),
    ("use_after_free", Each("cuCtxSynchronize"), 700, ALLOCATIONS),
    ("use_after_free_of_a_large_one", Each("cuCtxSynchronize"), 700, ALLOCATIONS),
    ("launch_shapes", Each("cuLaunchKernel many registers, block 1024"), 0, REGISTERS),
    ("module_loading", Each("cuModuleLoadDataEx empty.sm_90.cubin"), 209, SASS),
    ("module_loading", Each("cuModuleLoadData empty.sm_90.cubin"), 209, SASS),
    ("stream_destroyed_twice", Crash("cuStreamDestroy_v2"), 201, STREAMS),
    ("stream_used_after_destroy", Crash("cuStreamSynchronize"), 201, STREAMS),
    ("context_released", Crash("cuStreamSynchronize"), 709, STREAMS),
    ("occupancy", Each("blocks of many_registers, 32 threads, 0 bytes"), 32, REGISTERS),
    ("occupancy", Each("blocks of many_registers, 64 threads, 0 bytes"), 32, REGISTERS),
    ("occupancy", Each("blocks of many_registers, 96 threads, 0 bytes"), 21, REGISTERS),
    ("occupancy", Each("blocks of many_registers, 128 threads, 0 bytes"), 16, REGISTERS),
    ("occupancy", Each("blocks of many_registers, 256 threads, 0 bytes"), 8, REGISTERS),
    ("occupancy", Each("blocks of many_registers, 512 threads, 0 bytes"), 4, REGISTERS),
    ("occupancy", Each("blocks of many_registers, 1024 threads, 0 bytes"), 2, REGISTERS),
];

/// What the emulator is to answer in a case.
pub(crate) fn expected(name: &str, recorded: &[Value]) -> Vec<Value> {
    let mut calls: Vec<Value> =
        recorded.iter().filter(|call| !NOT_COMPARED.iter().any(|name| call[0] == *name)).cloned().collect();
    for (_, call, ours, why) in ALL.iter().filter(|(case, ..)| *case == name) {
        assert!(!why.is_empty());
        let named = |wanted: &'static str| move |call: &&mut Value| call[0] == wanted;
        match call {
            Each(wanted) => calls.iter_mut().filter(named(wanted)).for_each(|call| call[1] = json!(ours)),
            Crash(call) => calls.push(json!([call, ours])),
        }
    }
    calls.iter_mut().for_each(of_values);
    calls
}

/// Attributes that announce what the emulator refuses: textures' gathering, pinned pointers of registered memory, launches on several devices,
/// virtual memory and its handles, compression of it, direct access of other devices, semaphores of other interfaces, handles of pools,
/// clusters, deferred mappings, stream memory operations, memory and events of other processes, tensor maps, unified function pointers,
/// pools and virtual memory of the host.
const REFUSED: &[u32] = &[
    44, 91, 96, 98, 102, 103, 104, 105, 110, 112, 114, 116, 117, 118, 119, 120, 121, 122, 123, 124, 125, 127, 128, 129,
    141, 142, 144, 145,
];

/// The same for answers that are more than a number.
fn of_values(call: &mut Value) {
    let name = call[0].as_str().unwrap_or_default().to_owned();
    match name.strip_prefix("cuFuncGetAttribute ") {
        Some(kernel) => {
            call[1]["4"] = json!(0); // REGISTERS
            if kernel == "many_registers" {
                call[1]["0"] = json!(1024); // REGISTERS: the most threads of a block
            }
        }
        None if name == "cuOccupancyMaxPotentialBlockSize many_registers" => call[1] = json!([0, 264, 1024]), // REGISTERS
        // No log is to show a GPU that there was none of.
        None if name
            .split(' ')
            .next()
            .is_some_and(|first| first.parse().is_ok_and(|number| REFUSED.contains(&number))) =>
        {
            call[1] = json!(0);
        }
        None if name == "cuDeviceGetName" => call[1] = json!("Emulated NVIDIA H100 (sm_90)"),
        None => {}
    }
}
