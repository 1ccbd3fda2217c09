//! Clients that do something wrong, or have bad luck: what they get, and what is said about them. Each is a case in a process of its own.

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use cuda_emulator::driver::pointer::{Client, Out};
use serde_json::{Value, json};

use crate::log::{NON_BLOCKING, NULL, THREAD_LOCAL, call, nowhere, quiet};
use crate::{Case, Settings, child};

/// Eight bytes of pinned memory.
fn pinned() -> usize {
    let mut address = 0;
    quiet!(cuMemHostAlloc(Out::from(&mut address), 8, 0));
    address
}

/// What pinned memory holds.
fn read(address: usize) -> u32 {
    unsafe { (address as *const u32).read_volatile() }
}

fn write(address: usize, value: u32) {
    unsafe { (address as *mut u32).write_volatile(value) }
}

fn client(address: usize) -> Client {
    // SAFETY: pinned memory of eight bytes.
    Client::from(unsafe { std::slice::from_raw_parts_mut(address as *mut u8, 8) })
}

/// Where a callback waits for its client.
#[derive(Default)]
struct Gate {
    came: AtomicBool,
    open: AtomicBool,
    /// What the driver answered a callback that called it.
    refused: AtomicU32,
}

unsafe extern "C" fn wait_at(gate: *mut c_void) {
    // SAFETY: the gate that was given with the function, which lives for ever.
    let gate = unsafe { &*gate.cast::<Gate>() };
    gate.refused.store(unsafe { cuda_emulator::driver::cuCtxSynchronize() }.0, SeqCst);
    gate.came.store(true, SeqCst);
    while !gate.open.load(SeqCst) {
        std::thread::yield_now();
    }
}

/// A word of the device's memory, read on the null stream.
fn word(address: u64) -> u32 {
    let mut word = [0u32];
    quiet!(cuMemcpyDtoH_v2(Client::from(word.as_mut_slice()), address, 4));
    word[0]
}

pub(crate) const CASES: &[Case] = &[
    ("client_reads_pinned_memory_before_it_waits", |log| {
        let (stream, device, host) = (log.stream(NON_BLOCKING), log.alloc(8), pinned());
        quiet!(cuMemsetD32Async(device, 7, 2, stream));
        write(host, 1);
        quiet!(cuMemcpyDtoHAsync_v2(client(host), device, 8, stream));
        log.say("before", read(host));
        quiet!(cuStreamSynchronize(stream));
        log.say("after", read(host));
    }),
    ("client_reuses_pinned_memory_before_it_waits", |log| {
        let (stream, device, host) = (log.stream(NON_BLOCKING), log.alloc(8), pinned());
        write(host, 1);
        quiet!(cuMemcpyHtoDAsync_v2(device, client(host), 8, stream));
        write(host, 2);
        quiet!(cuStreamSynchronize(stream));
        log.say("pinned", word(device));
        let mut pageable = [1u32, 1];
        quiet!(cuMemcpyHtoDAsync_v2(device, Client::from(pageable.as_mut_slice()), 8, stream));
        pageable[0] = 2;
        std::hint::black_box(&pageable);
        quiet!(cuStreamSynchronize(stream));
        log.say("pageable", word(device));
    }),
    ("client_forgets_an_event", |log| {
        let (one, two, device) = (log.stream(NON_BLOCKING), log.stream(NON_BLOCKING), log.alloc(8));
        quiet!(cuMemsetD32Async(device, 1, 1, one));
        quiet!(cuMemsetD32Async(device, 2, 1, two));
        quiet!(cuCtxSynchronize());
        log.say("last", word(device));
    }),
    ("client_records_an_event", |log| {
        let (one, two, device) = (log.stream(NON_BLOCKING), log.stream(NON_BLOCKING), log.alloc(8));
        let event = log.event(0);
        quiet!(cuMemsetD32Async(device, 1, 1, one));
        quiet!(cuEventRecord(event, one));
        quiet!(cuStreamWaitEvent(two, event, 0));
        quiet!(cuMemsetD32Async(device, 2, 1, two));
        quiet!(cuCtxSynchronize());
        log.say("last", word(device));
    }),
    ("client_polls", |log| {
        let (stream, device) = (log.stream(NON_BLOCKING), log.alloc(8));
        quiet!(cuMemsetD32Async(device, 7, 2, stream));
        quiet!(cuMemsetD32Async(device, 8, 2, stream));
        let mut queries = 1;
        while unsafe { cuda_emulator::driver::cuStreamQuery(stream) }.0 == 600 {
            queries += 1;
        }
        log.say("more than two queries", queries > 2);
        log.say("word", word(device));
    }),
    ("client_reads_what_nobody_wrote", |log| {
        let device = log.alloc(8);
        quiet!(cuMemsetD8_v2(device, 0, 3));
        word(device);
        quiet!(cuMemFree_v2(device));
    }),
    ("client_frees_pinned_memory_in_use", |log| {
        let (stream, device, host) = (log.stream(NON_BLOCKING), log.alloc(8), pinned());
        quiet!(cuMemcpyHtoDAsync_v2(device, client(host), 8, stream));
        quiet!(cuMemFreeHost(host));
        call!(log, cuStreamSynchronize(stream));
    }),
    ("client_leaks", |log| {
        log.alloc(100);
        pinned();
        log.stream(0);
        log.kernel("empty");
        quiet!(cuDevicePrimaryCtxRelease_v2(0));
    }),
    ("client_cleans_up", |log| {
        let (device, stream) = (log.alloc(100), log.stream(0));
        log.kernel("empty");
        quiet!(cuStreamDestroy_v2(stream));
        quiet!(cuModuleUnload(log.module));
        quiet!(cuMemFree_v2(device));
        quiet!(cuDevicePrimaryCtxRelease_v2(0));
    }),
    ("client_launches_three_times", |log| {
        for _ in 0..3 {
            let empty = log.kernel("empty");
            log.launch_function(empty).note("").run();
            if call!(log, cuCtxSynchronize()).0 != 0 {
                break;
            }
        }
        call!(log, cuMemAlloc_v2(Out::from(&mut 0), 8));
        call!(log, cuDevicePrimaryCtxRetain(nowhere(), 0));
        call!(log, cuDeviceGetCount(Out::from(&mut 0)));
    }),
    ("client_allocates_three_times", |log| {
        for _ in 0..3 {
            call!(log, cuMemAlloc_v2(Out::from(&mut 0), 8));
        }
    }),
    ("client_captures_its_parameters", |log| {
        let (stream, device, other) = (log.stream(NON_BLOCKING), log.alloc(8), log.alloc(8));
        let (mut graph, mut executable) = (NULL, NULL);
        let store = log.kernel("store");
        quiet!(cuMemsetD32_v2(device, 0, 2));
        quiet!(cuStreamBeginCapture_v2(stream, THREAD_LOCAL));
        log.launch_function(store).with(device).with(5).on(stream).run();
        quiet!(cuMemcpyDtoDAsync_v2(other, device, 8, stream));
        quiet!(cuStreamEndCapture(stream, Out::from(&mut graph)));
        quiet!(cuGraphInstantiateWithFlags(Out::from(&mut executable), graph, 0));
        log.say("before", word(device));
        quiet!(cuGraphLaunch(executable, stream));
        quiet!(cuStreamSynchronize(stream));
        log.say("after", json!([word(device), word(other)]));
    }),
    ("client_whose_callback_waits_for_it", |log| {
        // the caller asks again and again, and only then lets the callback go on
        let (stream, other, device) = (log.stream(NON_BLOCKING), log.stream(NON_BLOCKING), log.alloc(8));
        let gate = Box::leak(Box::new(Gate::default()));
        let place = std::ptr::from_mut(gate) as usize;
        quiet!(cuLaunchHostFunc(stream, Some(wait_at), place));
        quiet!(cuMemsetD32Async(device, 7, 1, stream));
        let mut queries = 0;
        while !gate.came.load(SeqCst) {
            assert_eq!(unsafe { cuda_emulator::driver::cuStreamQuery(stream) }.0, 600);
            queries += 1;
            std::thread::yield_now();
        }
        log.say("asked", queries > 0);
        // other streams go on meanwhile, waited for by the thread that the callback waits for
        quiet!(cuMemsetD32Async(device + 4, 8, 1, other));
        quiet!(cuStreamSynchronize(other));
        gate.open.store(true, SeqCst);
        quiet!(cuStreamSynchronize(stream));
        log.say("words", json!([word(device), word(device + 4), gate.refused.load(SeqCst)]));
    }),
    ("client_whose_graph_calls_and_waits_for_it", |log| {
        let (stream, mut graph, mut executable) = (log.stream(NON_BLOCKING), NULL, NULL);
        let gate = Box::leak(Box::new(Gate::default()));
        let place = std::ptr::from_mut(gate) as usize;
        quiet!(cuStreamBeginCapture_v2(stream, THREAD_LOCAL));
        quiet!(cuLaunchHostFunc(stream, Some(wait_at), place));
        quiet!(cuStreamEndCapture(stream, Out::from(&mut graph)));
        quiet!(cuGraphInstantiateWithFlags(Out::from(&mut executable), graph, 0));
        quiet!(cuGraphLaunch(executable, stream));
        let event = log.event(0);
        quiet!(cuEventRecord(event, stream));
        while !gate.came.load(SeqCst) {
            assert_eq!(unsafe { cuda_emulator::driver::cuEventQuery(event) }.0, 600);
            std::thread::yield_now();
        }
        gate.open.store(true, SeqCst);
        quiet!(cuEventSynchronize(event));
        log.say("refused", gate.refused.load(SeqCst));
    }),
    ("client_of_several_threads", |log| {
        let (context, device) = (log.context, log.alloc(64));
        std::thread::scope(|scope| {
            for at in 0..8u64 {
                scope.spawn(move || {
                    quiet!(cuCtxSetCurrent(context));
                    let (mut stream, mut event) = (NULL, NULL);
                    quiet!(cuStreamCreate(Out::from(&mut stream), 1));
                    quiet!(cuEventCreate(Out::from(&mut event), 0));
                    for round in 0..100 {
                        quiet!(cuMemsetD32Async(device + 8 * at, round, 2, stream));
                        quiet!(cuEventRecord(event, stream));
                        quiet!(cuEventSynchronize(event));
                        assert_eq!(word(device + 8 * at), round);
                    }
                    quiet!(cuEventDestroy_v2(event));
                    quiet!(cuStreamDestroy_v2(stream));
                });
            }
        });
        log.say("done", true);
    }),
];

/// What a client answered with a seed and other variables, and what was said about it.
fn ran(name: &str, seed: u32, more: &[(&str, &str)]) -> (Value, String) {
    let output = child(name, &Settings { sm: 80, seed, more });
    (Value::from(output.answers.unwrap_or_else(|| panic!("{}", output.said))), output.said)
}

#[test]
fn whoever_reads_or_reuses_a_buffer_too_early_gets_what_it_should_not() {
    let (answers, _) = ran("client_reads_pinned_memory_before_it_waits", 0, &[]);
    assert_eq!(answers, json!([["before", 1], ["after", 7]]));
    let (answers, _) = ran("client_reuses_pinned_memory_before_it_waits", 0, &[]);
    assert_eq!(answers, json!([["pinned", 2], ["pageable", 1]]));
}

#[test]
fn streams_run_in_either_order_except_where_an_event_stands_between_them() {
    let last = |name, seed| ran(name, seed, &[]).0[0][1].as_u64().unwrap();
    let seen: std::collections::BTreeSet<u64> = (1..12).map(|seed| last("client_forgets_an_event", seed)).collect();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [1, 2]);
    assert!((1..12).all(|seed| last("client_records_an_event", seed) == 2));
}

#[test]
fn queries_make_progress() {
    for seed in 0..4 {
        let (answers, _) = ran("client_polls", seed, &[]);
        assert_eq!(answers, json!([["more than two queries", true], ["word", 8]]));
    }
}

#[test]
fn findings_are_said_and_counted() {
    let (_, said) = ran("client_reads_what_nobody_wrote", 0, &[]);
    assert!(said.contains("cuda-emulator: a copy to the host reads 1 bytes of 4 that nobody wrote"), "{said}");
    assert!(said.contains("cuda-emulator: 1 finding"), "{said}");
    let (_, said) = ran("client_reads_what_nobody_wrote", 0, &[("CUDA_EMULATOR_CHECKS", "0")]);
    assert!(!said.contains("cuda-emulator"), "{said}");
    let (answers, said) = ran("client_frees_pinned_memory_in_use", 0, &[]);
    assert_eq!(answers, json!([["cuStreamSynchronize", 700]]));
    assert!(said.contains("8 bytes of pinned memory") && said.contains("while 1 copies"), "{said}");
}

#[test]
fn what_a_context_leaves_is_said_by_kind() {
    let (_, said) = ran("client_leaks", 1, &[]);
    for leak in ["device memory: 1 times, 100 bytes", "pinned memory: 1 times, 8 bytes", "modules: 1", "streams: 1"] {
        assert!(said.contains(&format!("cuda-emulator: leak: {leak}")), "{said}");
    }
    let (_, said) = ran("client_cleans_up", 1, &[]);
    assert!(!said.contains("cuda-emulator"), "{said}");
    let strict = Settings { sm: 80, seed: 1, more: &[("CUDA_EMULATOR_STRICT", "1")] };
    assert_eq!(child("client_leaks", &strict).status, Some(86));
    assert_eq!(child("client_cleans_up", &strict).status, Some(0));
}

#[test]
fn planted_faults_come_when_they_should_and_stay() {
    let codes = |name, fault| {
        let (answers, said) = ran(name, 1, &[("CUDA_EMULATOR_FAULT", fault)]);
        assert!(said.contains("as planted"), "{said}");
        answers.as_array().unwrap().iter().map(|answer| answer[1].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(codes("client_launches_three_times", "kernel:2"), [0, 0, 0, 700, 700, 700, 0]);
    assert_eq!(codes("client_launches_three_times", "lost:2"), [0, 0, 0, 999, 999, 999, 999]);
    assert_eq!(codes("client_allocates_three_times", "oom:2"), [0, 2, 0]);
}

#[test]
fn a_wrong_variable_is_named_and_nothing_begins() {
    let output = child("client_leaks", &Settings { sm: 70, seed: 1, more: &[] });
    assert!(output.answers.is_none());
    assert!(output.said.contains("cuda-emulator: CUDA_EMULATOR_SM=70: 75, 80, 86, 89 or 90"), "{}", output.said);
}

#[test]
fn graphs_keep_the_parameters_of_their_capture_and_run_when_launched() {
    for seed in 0..4 {
        let (answers, _) = ran("client_captures_its_parameters", seed, &[]);
        let said = answers.as_array().unwrap().iter().filter(|answer| answer[0] != "cuLaunchKernel");
        let said: Vec<Value> = said.cloned().collect();
        assert_eq!(Value::from(said), json!([["before", 0], ["after", [5, 5]]]));
    }
}

#[test]
fn threads_wait_for_work_of_each_other() {
    assert_eq!(ran("client_of_several_threads", 3, &[]).0, json!([["done", true]]));
}

#[test]
fn a_callback_may_wait_for_whoever_asks_whether_it_is_done() {
    for seed in 0..4 {
        let (answers, _) = ran("client_whose_callback_waits_for_it", seed, &[]);
        assert_eq!(answers, json!([["asked", true], ["words", [7, 8, 800]]]));
        assert_eq!(ran("client_whose_graph_calls_and_waits_for_it", seed, &[]).0, json!([["refused", 800]]));
    }
}
