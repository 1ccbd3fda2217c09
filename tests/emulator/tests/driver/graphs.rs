//! What a client does with the nodes of a capture: asks where a stream is, and changes what a node launches. Each is a case in a process of its
//! own. Not here: which calls a capture refuses (`captures.rs`).

use cuda_emulator::driver::handles::Handle;
use cuda_emulator::driver::pointer::{Client, In, Out};
use cuda_emulator::driver::{KernelNode, KernelNode2, LaunchConfig};
use serde_json::{Value, json};

use crate::log::{Log, NON_BLOCKING, NULL, THREAD_LOCAL, call, quiet};
use crate::{Case, Settings, child};

/// What `cuStreamGetCaptureInfo` says of a stream: its status, its graph, the nodes that come before what comes next.
fn info(stream: Handle) -> (u32, Handle, Vec<Handle>) {
    let (mut status, mut id, mut graph, mut nodes, mut count) = (9, 0u64, NULL, 0usize, 0usize);
    let [nodes_out, count_out] = [Out::from(&mut nodes), Out::from(&mut count)];
    quiet!(cuStreamGetCaptureInfo_v2(
        stream,
        Out::from(&mut status),
        Out::from(&mut id),
        Out::from(&mut graph),
        nodes_out,
        count_out
    ));
    assert_eq!(id == 0, status == 0);
    // SAFETY: as many handles as the driver said, until the next call for this stream.
    let nodes = (0..count).map(|at| unsafe { (nodes as *const Handle).add(at).read() }).collect();
    (status, graph, nodes)
}

fn word(address: u64) -> u32 {
    let mut word = [0u32];
    quiet!(cuMemcpyDtoH_v2(Client::from(word.as_mut_slice()), address, 4));
    word[0]
}

/// Four words of zeros, for streams that do not wait for the null stream.
fn clear(address: u64) {
    quiet!(cuMemsetD32_v2(address, 0, 4));
    quiet!(cuCtxSynchronize());
}

/// A capture of `store` to an address; the graph, its only node and the function.
fn captured(log: &mut Log, stream: Handle, address: u64, value: u64) -> (Handle, Handle, Handle) {
    let (store, mut graph) = (log.kernel("store"), NULL);
    quiet!(cuStreamBeginCapture_v2(stream, THREAD_LOCAL));
    log.launch_function(store).with(address).with(value).on(stream).run();
    let (_, _, nodes) = info(stream);
    quiet!(cuStreamEndCapture(stream, Out::from(&mut graph)));
    (graph, nodes[0], store)
}

/// The parameters of a node that stores a value at an address.
fn node(function: Handle, arguments: &mut [u64; 2]) -> (Box<[usize; 2]>, [usize; 7]) {
    let each = Box::new([&raw mut arguments[0] as usize, &raw mut arguments[1] as usize]);
    let ones = 1 | 1 << 32;
    // function, grid and block in four words of two numbers, the last with the shared memory, and pointers
    let layout = [function.0, ones, ones, ones, 0, each.as_ptr() as usize, 0];
    (each, layout)
}

fn read<T: Copy>(words: &[usize]) -> T {
    assert!(size_of_val(words) >= size_of::<T>());
    // SAFETY: as many bytes, and any bits are numbers.
    unsafe { words.as_ptr().cast::<T>().read_unaligned() }
}

pub(crate) const CASES: &[Case] = &[
    ("graph_is_known_while_it_is_captured", |log| {
        let (one, two, event) = (log.stream(NON_BLOCKING), log.stream(NON_BLOCKING), log.event(0));
        let (device, mut graph, mut count) = (log.alloc(8), NULL, 0usize);
        log.say("before", info(one).0);
        quiet!(cuStreamBeginCapture_v2(one, THREAD_LOCAL));
        let (status, known, nodes) = info(one);
        log.say("empty", json!([status, known != NULL, nodes.len()]));
        quiet!(cuMemsetD32Async(device, 1, 1, one));
        let (_, _, first) = info(one);
        quiet!(cuEventRecord(event, one));
        quiet!(cuStreamWaitEvent(two, event, 0));
        log.say("a forked stream is where the event is", info(two).2 == first);
        quiet!(cuMemsetD32Async(device, 2, 1, two));
        let (_, _, second) = info(two);
        log.say("and then further", second != first && second.len() == 1);
        quiet!(cuEventRecord(event, two));
        quiet!(cuMemsetD32Async(device + 4, 3, 1, one));
        quiet!(cuStreamWaitEvent(one, event, 0));
        let (_, again, both) = info(one);
        log.say("joined", json!([again == known, both.len(), both.contains(&second[0])]));
        quiet!(cuGraphGetNodes(known, Out::NULL, Out::from(&mut count)));
        log.say("nodes so far", count);
        quiet!(cuStreamEndCapture(one, Out::from(&mut graph)));
        log.say("after", json!([graph == known, info(one).0]));
        let mut kind = 9;
        quiet!(cuGraphNodeGetType(first[0], Out::from(&mut kind)));
        log.say("type", kind);
    }),
    ("graph_of_dependencies_set_by_hand", |log| {
        let (stream, device, mut graph) = (log.stream(NON_BLOCKING), log.alloc(8), NULL);
        quiet!(cuStreamBeginCapture_v2(stream, THREAD_LOCAL));
        quiet!(cuMemsetD32Async(device, 1, 1, stream));
        let (_, _, first) = info(stream);
        quiet!(cuMemsetD32Async(device + 4, 2, 1, stream));
        let (_, _, second) = info(stream);
        quiet!(cuStreamUpdateCaptureDependencies(stream, In::from(first.as_slice()), 1, 1));
        log.say("instead", info(stream).2 == first);
        quiet!(cuStreamUpdateCaptureDependencies(stream, In::from(second.as_slice()), 1, 0));
        log.say("beside", info(stream).2 == [first[0], second[0]]);
        call!(log, cuStreamUpdateCaptureDependencies(stream, In::from([NULL].as_slice()), 1, 0), "null");
        quiet!(cuStreamUpdateCaptureDependencies(stream, In::from(first.as_slice()), 1, 1));
        call!(log, cuStreamEndCapture(stream, Out::from(&mut graph)), "with a node that nothing waits for");
        call!(log, cuStreamUpdateCaptureDependencies(stream, In::from(first.as_slice()), 1, 1), "not captured");
    }),
    ("graph_with_other_parameters", |log| {
        let (stream, device) = (log.stream(NON_BLOCKING), log.alloc(16));
        clear(device);
        let (graph, kernel, store) = captured(log, stream, device, 5);
        let (mut executable, mut early) = (NULL, NULL);
        quiet!(cuGraphInstantiateWithFlags(Out::from(&mut executable), graph, 0));
        quiet!(cuGraphInstantiateWithFlags(Out::from(&mut early), graph, 0));
        quiet!(cuGraphLaunch(executable, stream));
        let mut arguments = [device + 4, 6];
        let (_each, words) = node(store, &mut arguments);
        let first: KernelNode = read(&words);
        // queued before, so with what it had
        quiet!(cuGraphExecKernelNodeSetParams(executable, kernel, In::from([first].as_slice())));
        quiet!(cuStreamSynchronize(stream));
        log.say("queued before", json!([word(device), word(device + 4)]));
        clear(device);
        quiet!(cuGraphLaunch(executable, stream));
        quiet!(cuStreamSynchronize(stream));
        log.say("of the executable", json!([word(device), word(device + 4)]));
        // the graph and what else was made of it have what they had
        quiet!(cuGraphLaunch(early, stream));
        quiet!(cuStreamSynchronize(stream));
        log.say("of the other", json!([word(device), word(device + 4)]));
        let mut arguments = [device + 8, 7];
        let (_each, mut words) = node(NULL, &mut arguments);
        words[0] = 0;
        let all: [usize; 9] =
            std::array::from_fn(|at| words.get(at).copied().unwrap_or(if at == 7 { store.0 } else { 0 }));
        let second: KernelNode2 = read(&all);
        quiet!(cuGraphKernelNodeSetParams_v2(kernel, In::from([second].as_slice())));
        let mut late = NULL;
        quiet!(cuGraphInstantiateWithFlags(Out::from(&mut late), graph, 0));
        quiet!(cuGraphLaunch(late, stream));
        quiet!(cuStreamSynchronize(stream));
        log.say("of the graph", word(device + 8));
        // an update takes the works, and nodes of the first graph still name them
        quiet!(cuGraphExecUpdate_v2(early, graph, Out::NULL));
        let mut arguments = [device + 12, 8];
        let (_each, words) = node(store, &mut arguments);
        quiet!(cuGraphExecKernelNodeSetParams(early, kernel, In::from([read::<KernelNode>(&words)].as_slice())));
        quiet!(cuGraphLaunch(early, stream));
        quiet!(cuStreamSynchronize(stream));
        log.say("after an update", word(device + 12));
    }),
    ("graph_tells_its_parameters", |log| {
        let (stream, device) = (log.stream(NON_BLOCKING), log.alloc(16));
        let (_, kernel, store) = captured(log, stream, device, 5);
        let mut told = [0usize; 7];
        // SAFETY: seven words are as many bytes as the parameters of a node.
        let place = unsafe { &mut *told.as_mut_ptr().cast::<KernelNode>() };
        quiet!(cuGraphKernelNodeGetParams(kernel, Out::from(place)));
        // SAFETY: the driver gave two pointers, to a parameter of eight bytes and one of four.
        let each = unsafe { [*(told[5] as *const *const u64), *(told[5] as *const *const u64).add(1)] };
        // SAFETY: as above.
        let [address, value] = unsafe { [each[0].read_unaligned(), u64::from(each[1].cast::<u32>().read_unaligned())] };
        log.say("as they were captured", told[0] == store.0 && address == device && value == 5);
    }),
    ("graph_refuses_other_nodes", |log| {
        let (stream, device) = (log.stream(NON_BLOCKING), log.alloc(16));
        let (graph, kernel, store) = captured(log, stream, device, 5);
        let (mut executable, mut other) = (NULL, NULL);
        quiet!(cuGraphInstantiateWithFlags(Out::from(&mut executable), graph, 0));
        let (other_graph, other_kernel, _) = captured(log, stream, device, 6);
        quiet!(cuGraphInstantiateWithFlags(Out::from(&mut other), other_graph, 0));
        let mut arguments = [device, 7];
        let (_each, words) = node(store, &mut arguments);
        let first: KernelNode = read(&words);
        let given = In::from([first].as_slice());
        call!(log, cuGraphExecKernelNodeSetParams(executable, other_kernel, given), "of another graph");
        call!(log, cuGraphExecKernelNodeSetParams(NULL, kernel, given), "of null");
        call!(log, cuGraphExecKernelNodeSetParams(executable, NULL, given), "of no node");
        call!(log, cuGraphExecKernelNodeSetParams(executable, kernel, In::NULL), "without parameters");
        let mut wide = words;
        wide[3] = 1 | 2048 << 32;
        let wide: KernelNode = read(&wide);
        call!(log, cuGraphExecKernelNodeSetParams(executable, kernel, In::from([wide].as_slice())), "too many threads");
        quiet!(cuStreamBeginCapture_v2(stream, THREAD_LOCAL));
        quiet!(cuMemsetD32Async(device, 1, 1, stream));
        let (_, _, fills) = info(stream);
        let mut fill = NULL;
        quiet!(cuStreamEndCapture(stream, Out::from(&mut fill)));
        quiet!(cuGraphInstantiateWithFlags(Out::from(&mut other), fill, 0));
        call!(log, cuGraphExecKernelNodeSetParams(other, fills[0], given), "of a memset");
    }),
];

fn ran(name: &str, seed: u32) -> Value {
    let output = child(name, &Settings { sm: 80, seed, more: &[] });
    let answers = output.answers.unwrap_or_else(|| panic!("{}", output.said));
    answers.into_iter().filter(|answer| answer[0] != "cuLaunchKernel").collect()
}

#[test]
fn a_capture_says_where_its_streams_are() {
    assert_eq!(
        ran("graph_is_known_while_it_is_captured", 1),
        json!([
            ["before", 0],
            ["empty", [1, true, 0]],
            ["a forked stream is where the event is", true],
            ["and then further", true],
            ["joined", [true, 2, true]],
            ["nodes so far", 3],
            ["after", [true, 0]],
            ["type", 2]
        ])
    );
    assert_eq!(
        ran("graph_of_dependencies_set_by_hand", 1),
        json!([
            ["instead", true],
            ["beside", true],
            ["cuStreamUpdateCaptureDependencies null", 1],
            ["cuStreamEndCapture with a node that nothing waits for", 904],
            ["cuStreamUpdateCaptureDependencies not captured", 401]
        ])
    );
}

#[test]
fn a_node_of_an_executable_takes_other_parameters_for_the_launches_that_come() {
    for seed in 0..3 {
        assert_eq!(
            ran("graph_with_other_parameters", seed),
            json!([
                ["queued before", [5, 0]],
                ["of the executable", [0, 6]],
                ["of the other", [5, 6]],
                ["of the graph", 7],
                ["after an update", 8]
            ])
        );
    }
    assert_eq!(ran("graph_tells_its_parameters", 1), json!([["as they were captured", true]]));
}

#[test]
fn what_is_no_kernel_of_the_graph_takes_no_parameters() {
    let name = "cuGraphExecKernelNodeSetParams";
    let all = ["of another graph", "of null", "of no node", "without parameters", "too many threads", "of a memset"];
    let refused: Value = all.iter().map(|why| json!([format!("{name} {why}"), 1])).collect();
    assert_eq!(ran("graph_refuses_other_nodes", 1), refused);
}

/// The layout that C passes.
#[test]
fn parameters_of_nodes_are_as_long_as_in_c() {
    assert_eq!([size_of::<KernelNode>(), size_of::<KernelNode2>(), size_of::<LaunchConfig>()], [56, 72, 56]);
}
