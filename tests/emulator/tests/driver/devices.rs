//! Several devices: what each is called and has, who reaches what, and that the fault of one is no other's. Nothing of this was recorded: it
//! is as the driver API's reference and the programming guide ("Multi-Device System") say.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cuda_emulator::driver::code::Code;
use cuda_emulator::driver::handles::Handle;
use cuda_emulator::driver::pointer::{Client, Out, Text};

use crate::log::{Log, NON_BLOCKING, NULL, call, nowhere, quiet};
use crate::{Case, Outcome, Settings, child};

/// A call's answer.
macro_rules! code {
    ($name:ident($($argument:expr),* $(,)?)) => {{
        // SAFETY: what is passed lives through the call, or is a handle.
        unsafe { cuda_emulator::driver::$name($($argument),*) }.0
    }};
}

/// Runs a case with two devices, or as many as `more` says; it panicked if it has no answers.
fn two(name: &str, seed: u32, more: &[(&str, &str)]) -> Outcome {
    let more = [&[("CUDA_EMULATOR_DEVICES", "2")], more].concat();
    let outcome = child(name, &Settings { sm: 80, seed, more: &more });
    assert!(outcome.answers.is_some(), "{name}, seed {seed}: {}", outcome.said);
    outcome
}

pub(crate) const CASES: &[Case] = &[
    ("devices_figures", |_| figures()),
    ("devices_contexts", |_| contexts()),
    ("devices_memory", memory),
    ("devices_foreign_access", foreign_access),
    ("devices_order", order),
    ("devices_apart", apart),
    ("devices_streams", streams),
    ("devices_kernel_fault", kernel_fault),
    ("devices_lost", lost),
    ("devices_no_memory", |log| {
        let mut address = 0;
        log.alloc(256);
        use_device(1);
        assert_eq!(code!(cuMemAlloc_v2(Out::from(&mut address), 256)), 2);
        log.alloc(256);
    }),
    ("devices_leak", |log| {
        use_device(1);
        log.alloc(256);
        quiet!(cuDevicePrimaryCtxRelease_v2(1));
    }),
];

/// Makes the primary context of a device current, which it retains.
fn use_device(device: i32) -> Handle {
    let mut context = NULL;
    quiet!(cuDevicePrimaryCtxRetain(Out::from(&mut context), device));
    quiet!(cuCtxSetCurrent(context));
    context
}

/// A log whose kernels are loaded on another device, which it makes current.
fn on_device(device: i32) -> Log {
    let mut log = Log::unstarted();
    log.context = use_device(device);
    log
}

fn current_device() -> i32 {
    let mut device = -1;
    quiet!(cuCtxGetDevice(Out::from(&mut device)));
    device
}

fn free_bytes() -> usize {
    let mut free = 0;
    quiet!(cuMemGetInfo_v2(Out::from(&mut free), Out::NULL));
    free
}

fn text(ask: impl Fn(Out<u8>, i32) -> Code) -> String {
    let mut bytes = [0u8; 64];
    assert_eq!(ask(Out::from(&mut bytes[0]), 64), Code::SUCCESS);
    CStr::from_bytes_until_nul(&bytes).unwrap().to_str().unwrap().to_owned()
}

fn figures() {
    let (mut count, mut value, mut found) = (0, 0, 0);
    quiet!(cuDeviceGetCount(Out::from(&mut count)));
    assert_eq!(count, 8);
    let (mut uuids, mut places) = (BTreeSet::new(), BTreeSet::new());
    for ordinal in 0..8 {
        let name = text(|out, room| unsafe { cuda_emulator::driver::cuDeviceGetName(out, room, ordinal) });
        assert_eq!(name, "Emulated NVIDIA A100 (sm_80)");
        let (mut uuid, mut bytes) = ([0; 16], 0usize);
        quiet!(cuDeviceGetUuid_v2(Out::from(&mut uuid), ordinal));
        uuids.insert(uuid);
        quiet!(cuDeviceTotalMem_v2(Out::from(&mut bytes), ordinal));
        assert_eq!(bytes, 80 << 30);
        let place = text(|out, room| unsafe { cuda_emulator::driver::cuDeviceGetPCIBusId(out, room, ordinal) });
        let id = CString::new(place.as_str()).unwrap();
        quiet!(cuDeviceGetByPCIBusId(Out::from(&mut found), Text::from(id.as_c_str())));
        assert_eq!(found, ordinal);
        quiet!(cuDeviceGetAttribute(Out::from(&mut value), 34, ordinal));
        assert_eq!(place, format!("0000:00:{value:02x}.0"));
        places.insert(place);
        quiet!(cuDeviceGet(Out::from(&mut found), ordinal));
        assert_eq!(found, ordinal);
        quiet!(cuDeviceGetAttribute(Out::from(&mut value), 16, ordinal));
        assert_eq!(value, 108);
        quiet!(cuDeviceCanAccessPeer(Out::from(&mut value), 0, ordinal));
        assert_eq!(value, 0);
    }
    assert_eq!((uuids.len(), places.len()), (8, 8));
    for ordinal in [-1, 8] {
        assert_eq!(code!(cuDeviceGet(Out::from(&mut found), ordinal)), 101);
        assert_eq!(code!(cuDeviceGetAttribute(Out::from(&mut value), 16, ordinal)), 101);
        assert_eq!(code!(cuDeviceCanAccessPeer(Out::from(&mut value), 0, ordinal)), 101);
        assert_eq!(code!(cuDevicePrimaryCtxRetain(nowhere(), ordinal)), 101);
        assert_eq!(code!(cuCtxCreate_v2(nowhere(), 0, ordinal)), 101);
        assert_eq!(code!(cuDeviceGetDefaultMemPool(nowhere(), ordinal)), 101);
    }
}

fn contexts() {
    let (mut flags, mut active, mut context, mut again, mut device) = (0, 0, NULL, NULL, 0);
    quiet!(cuCtxGetCurrent(Out::from(&mut context)));
    assert_eq!(current_device(), 0);
    quiet!(cuDevicePrimaryCtxGetState(1, Out::from(&mut flags), Out::from(&mut active)));
    assert_eq!(active, 0, "only the first was retained");
    let other = use_device(1);
    assert_ne!(other, context);
    assert_eq!(current_device(), 1);
    quiet!(cuDevicePrimaryCtxGetState(1, Out::from(&mut flags), Out::from(&mut active)));
    assert_eq!(active, 1);
    quiet!(cuCtxCreate_v2(Out::from(&mut again), 0, 1));
    assert_eq!(current_device(), 1);
    assert_eq!(code!(cuCtxEnablePeerAccess(context, 0)), 217);
    assert_eq!(code!(cuCtxEnablePeerAccess(again, 0)), 201, "itself");
    assert_eq!(code!(cuCtxDisablePeerAccess(context)), 705);
    quiet!(cuCtxDestroy_v2(again));
    quiet!(cuCtxSetCurrent(context));
    assert_eq!(current_device(), 0);
    let (mut pool, mut other_pool) = (NULL, NULL);
    quiet!(cuDeviceGetDefaultMemPool(Out::from(&mut pool), 0));
    quiet!(cuDeviceGetDefaultMemPool(Out::from(&mut other_pool), 1));
    assert_ne!(pool, other_pool);
    assert_eq!(code!(cuDeviceSetMemPool(0, other_pool)), 1);
    quiet!(cuDevicePrimaryCtxRelease_v2(1));
    assert_eq!(code!(cuDevicePrimaryCtxRelease_v2(1)), 201);
    quiet!(cuDeviceGet(Out::from(&mut device), 0));
    assert_eq!(free_bytes(), (80 << 30) - (546 << 20), "the first lives on");
}

fn memory(log: &mut Log) {
    let all = free_bytes();
    let first = log.alloc(4096);
    assert_eq!(free_bytes(), all - 4096);
    use_device(1);
    assert_eq!(free_bytes(), all, "the other's memory is its own");
    let second = log.alloc(256);
    assert_eq!(free_bytes(), all - 256);
    assert_ne!(first, second);
    for (address, owner) in [(first, 0), (second, 1)] {
        let mut ordinal = [9u8; 4];
        quiet!(cuPointerGetAttribute(Client::from(ordinal.as_mut_slice()), 9, address));
        assert_eq!(u32::from_le_bytes(ordinal), owner);
    }
    // copies go by the address, whichever context is current
    let (mut sent, mut back) = ([7u32; 64], [0u32; 64]);
    quiet!(cuMemcpyHtoD_v2(first, Client::from(sent.as_mut_slice()), 256));
    quiet!(cuMemcpyDtoD_v2(second, first, 256));
    quiet!(cuMemcpyDtoH_v2(Client::from(back.as_mut_slice()), second, 256));
    assert_eq!(back, sent);
    assert_eq!(code!(cuMemsetD8_v2(first, 0, 256)), 1);
    quiet!(cuMemFree_v2(first));
    quiet!(cuMemFree_v2(second));
    assert_eq!(free_bytes(), all);
    use_device(0);
    assert_eq!(free_bytes(), all);
}

fn foreign_access(log: &mut Log) {
    let first = log.alloc(256);
    log.launch("store").with(first).with(1).run();
    quiet!(cuCtxSynchronize());
    let mut other = on_device(1);
    let own = other.alloc(256);
    other.launch("store").with(own).with(1).run();
    quiet!(cuCtxSynchronize());
    other.launch("store").with(first).with(2).run();
    assert_eq!(code!(cuCtxSynchronize()), 700);
    quiet!(cuCtxSetCurrent(log.context));
    let mut back = [0u32];
    quiet!(cuMemcpyDtoH_v2(Client::from(back.as_mut_slice()), first, 4));
    assert_eq!(back, [1]);
}

/// Two kernels, one a device, store to one pinned word: which comes last is drawn.
fn order(log: &mut Log) {
    let mut pinned = 0usize;
    quiet!(cuMemAllocHost_v2(Out::from(&mut pinned), 4));
    log.launch("store").with(pinned as u64).with(0).run();
    let mut other = on_device(1);
    other.launch("store").with(pinned as u64).with(1).run();
    quiet!(cuCtxSynchronize());
    quiet!(cuCtxSetCurrent(log.context));
    quiet!(cuCtxSynchronize());
    // SAFETY: four bytes that were pinned, of which no work is left.
    let last = unsafe { (pinned as *const u32).read_volatile() };
    log.say("last", last);
}

static DONE: AtomicBool = AtomicBool::new(false);

extern "C" fn until_done(late: *mut c_void) {
    let began = Instant::now();
    while !DONE.load(Ordering::SeqCst) {
        if began.elapsed() > Duration::from_secs(10) {
            // SAFETY: the case's own flag, which lives as long as its process.
            unsafe { (*late.cast::<AtomicBool>()).store(true, Ordering::SeqCst) };
            return;
        }
        std::thread::yield_now();
    }
}

/// The first device's work ends only after the other was waited for.
fn apart(log: &mut Log) {
    static LATE: AtomicBool = AtomicBool::new(false);
    let address = log.alloc(256);
    quiet!(cuLaunchHostFunc(NULL, Some(until_done), &raw const LATE as usize));
    log.launch("store").with(address).with(1).run();
    let mut other = on_device(1);
    let own = other.alloc(256);
    other.launch("store").with(own).with(1).run();
    quiet!(cuCtxSynchronize());
    DONE.store(true, Ordering::SeqCst);
    quiet!(cuCtxSetCurrent(log.context));
    quiet!(cuCtxSynchronize());
    assert!(!LATE.load(Ordering::SeqCst), "the wait for the second waited for the first");
}

fn streams(log: &mut Log) {
    let (stream, event, address) = (log.stream(NON_BLOCKING), log.event(0), log.alloc(256));
    quiet!(cuEventRecord(event, stream));
    let mut other = on_device(1);
    let (own, mark) = (other.stream(NON_BLOCKING), other.event(0));
    assert_eq!(other.launch("empty").on(stream).run().0, 400, "a kernel of one device on the other's stream");
    assert_eq!(code!(cuEventRecord(mark, stream)), 400);
    quiet!(cuStreamWaitEvent(own, event, 0));
    quiet!(cuEventRecord(mark, own));
    quiet!(cuEventSynchronize(mark));
    quiet!(cuEventSynchronize(event));
    quiet!(cuStreamSynchronize(stream));
    let mut time = 0.0;
    assert_eq!(code!(cuEventElapsedTime(Out::from(&mut time), event, mark)), 400);
    // a copy on the other's stream
    let (mut sent, mut context) = ([3u32], NULL);
    quiet!(cuMemcpyHtoDAsync_v2(address, Client::from(sent.as_mut_slice()), 4, stream));
    quiet!(cuStreamSynchronize(stream));
    quiet!(cuStreamGetCtx(stream, Out::from(&mut context)));
    assert_eq!(context, log.context);
    // graphs stay on their device
    quiet!(cuStreamBeginCapture_v2(own, 1));
    other.launch("empty").on(own).run();
    let (mut graph, mut executable) = (NULL, NULL);
    quiet!(cuStreamEndCapture(own, Out::from(&mut graph)));
    quiet!(cuGraphInstantiateWithFlags(Out::from(&mut executable), graph, 0));
    quiet!(cuGraphLaunch(executable, own));
    assert_eq!(code!(cuGraphLaunch(executable, stream)), 801);
    quiet!(cuStreamBeginCapture_v2(own, 1));
    quiet!(cuEventRecord(mark, own));
    assert_ne!(code!(cuStreamWaitEvent(stream, mark, 0)), 0, "a capture is of one device");
    assert_ne!(code!(cuStreamEndCapture(own, Out::from(&mut graph))), 0);
}

/// The second device's second launch fails.
fn kernel_fault(log: &mut Log) {
    let address = log.alloc(256);
    let mut other = on_device(1);
    other.launch("empty").run();
    quiet!(cuCtxSynchronize());
    for value in 1..5 {
        quiet!(cuCtxSetCurrent(log.context));
        log.launch("store").with(address).with(value).run();
        quiet!(cuCtxSynchronize());
    }
    quiet!(cuCtxSetCurrent(other.context));
    let (stream, event) = (other.stream(NON_BLOCKING), other.event(0));
    other.launch("empty").on(stream).run();
    quiet!(cuEventRecord(event, stream));
    assert_eq!(code!(cuCtxSynchronize()), 700);
    assert_eq!(code!(cuStreamSynchronize(stream)), 700);
    assert_eq!(code!(cuCtxCreate_v2(nowhere(), 0, 1)), 700);
    assert_eq!(code!(cuDevicePrimaryCtxRetain(nowhere(), 1)), 700);
    quiet!(cuCtxSetCurrent(log.context));
    assert_eq!(code!(cuEventSynchronize(event)), 700, "what it stood for never came to pass");
    assert_eq!(code!(cuStreamQuery(stream)), 700);
    log.launch("store").with(address).with(9).run();
    let mut back = [0u32];
    quiet!(cuMemcpyDtoH_v2(Client::from(back.as_mut_slice()), address, 4));
    assert_eq!(back, [9]);
    quiet!(cuDevicePrimaryCtxRetain(nowhere(), 0));
    quiet!(cuCtxCreate_v2(nowhere(), 0, 0));
}

/// The second device is lost with its first launch.
fn lost(log: &mut Log) {
    let (mut count, mut value, mut context) = (0, 0, NULL);
    let address = log.alloc(256);
    let mut other = on_device(1);
    other.launch("empty").run();
    assert_eq!(code!(cuCtxSynchronize()), 999);
    assert_eq!(code!(cuMemAlloc_v2(Out::from(&mut 0u64), 256)), 999);
    assert_eq!(code!(cuDeviceGetAttribute(Out::from(&mut value), 16, 1)), 999);
    assert_eq!(code!(cuDevicePrimaryCtxRetain(nowhere(), 1)), 999);
    quiet!(cuCtxSetCurrent(log.context));
    quiet!(cuDeviceGetCount(Out::from(&mut count)));
    assert_eq!(count, 2);
    quiet!(cuDeviceGetAttribute(Out::from(&mut value), 16, 0));
    log.launch("store").with(address).with(9).run();
    quiet!(cuCtxSynchronize());
    assert_eq!(code!(cuCtxSetCurrent(other.context)), 999);
    quiet!(cuCtxGetCurrent(Out::from(&mut context)));
    assert_eq!(context, log.context);
    call!(log, cuCtxSynchronize());
}

#[test]
fn each_device_has_a_place_of_its_own_and_no_other_ordinal_is_one() {
    two("devices_figures", 1, &[("CUDA_EMULATOR_DEVICES", "8")]);
}

#[test]
fn contexts_are_one_devices() {
    two("devices_contexts", 1, &[]);
}

#[test]
fn each_device_has_memory_of_its_own_at_addresses_that_no_other_has() {
    two("devices_memory", 1, &[]);
}

#[test]
fn a_kernel_that_touches_the_memory_of_another_device_is_told_whose_it_is() {
    let said = two("devices_foreign_access", 1, &[]).said;
    let told =
        "4 bytes at 0x300000000000 are memory of device 0, which device 1 does not reach: there is no peer access";
    assert!(said.contains("device 1: kernel store") && said.contains(told), "{said}");
}

#[test]
fn the_works_of_two_devices_are_done_in_either_order() {
    let last = |seed| two("devices_order", seed, &[]).answers.unwrap().pop().unwrap()[1].as_u64().unwrap();
    let orders: BTreeSet<u64> = (1..12).map(last).collect();
    assert_eq!(orders, BTreeSet::from([0, 1]));
}

#[test]
fn a_wait_for_one_device_needs_nothing_of_the_other() {
    (0..4).for_each(|seed| drop(two("devices_apart", seed, &[])));
}

#[test]
fn streams_events_and_graphs_are_one_devices() {
    (0..4).for_each(|seed| drop(two("devices_streams", seed, &[])));
}

#[test]
fn a_fault_of_one_device_ends_its_contexts_and_no_others() {
    let said = two("devices_kernel_fault", 1, &[("CUDA_EMULATOR_FAULT", "kernel:2@1")]).said;
    assert!(said.contains("device 1: launch 2, of empty: an illegal address, as planted"), "{said}");
}

#[test]
fn a_device_that_is_lost_leaves_the_other() {
    two("devices_lost", 1, &[("CUDA_EMULATOR_FAULT", "lost:1@1")]);
}

#[test]
fn allocations_are_counted_by_device() {
    let said = two("devices_no_memory", 1, &[("CUDA_EMULATOR_FAULT", "oom:1@1")]).said;
    assert!(said.contains("device 1: allocation 1 finds no memory, as planted"), "{said}");
}

#[test]
fn a_leak_says_on_which_device() {
    let said = two("devices_leak", 1, &[]).said;
    assert!(said.contains("device 1: leak: device memory: 1 times, 256 bytes"), "{said}");
}

#[test]
fn what_is_no_number_of_devices_or_names_none_is_refused() {
    for (name, value) in [("CUDA_EMULATOR_DEVICES", "9"), ("CUDA_EMULATOR_FAULT", "kernel:1@1")] {
        let outcome = child("devices_leak", &Settings { sm: 80, seed: 1, more: &[(name, value)] });
        assert!(outcome.answers.is_none() && outcome.said.contains(name), "{}", outcome.said);
    }
}
