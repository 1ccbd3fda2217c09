//! Graphs, as C calls them.

#![expect(unsafe_code, reason = "the boundary to C")]

use super::super::code::Code;
use super::super::graph::node_type;
use super::super::handles::Handle;
use super::super::state::driver;
use super::api;
use super::pointer::Out;

fn instantiate(out: Out<Handle>, graph: Handle, flags: u64) -> Result<(), Code> {
    let (mut state, _) = driver()?.enter()?;
    out.needed()?;
    out.set(state.instantiate(graph, flags)?)
}

/// `CUgraphExecUpdateResultInfo`: result, and the nodes where it went wrong.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct UpdateResult {
    result: u32,
    node: Handle,
    from: Handle,
}

/// `CUDA_GRAPH_INSTANTIATE_PARAMS`: flags and a stream for the upload; then the node where it went wrong, and whether it did.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct InstantiateParams {
    flags: u64,
    upload: Handle,
    node: Handle,
    result: u32,
}

fn update(executable: Handle, graph: Handle) -> (u32, Result<(), Code>) {
    let outcome = driver().and_then(|driver| driver.enter()?.0.update_executable(executable, graph));
    (u32::from(outcome.is_err()), outcome)
}

api! {
    fn cuGraphGetNodes(graph: Handle, nodes: Out<Handle>, count: Out<usize>) {
        let (state, _) = driver()?.enter()?;
        let graph = state.graph(graph)?;
        let room = if nodes.needed().is_ok() { count.read().get(0).unwrap_or(0) } else { 0 };
        graph.nodes().take(room).enumerate().for_each(|(at, node)| nodes.put(at, node));
        count.set(graph.nodes().count())
    }

    fn cuGraphNodeGetType(node: Handle, out: Out<u32>) {
        let (state, _) = driver()?.enter()?;
        out.set(node_type(state.node_work(node)?))
    }

    fn cuGraphInstantiateWithFlags(out: Out<Handle>, graph: Handle, flags: u64) {
        instantiate(out, graph, flags)
    }

    fn cuGraphInstantiate(
        out: Out<Handle>, graph: Handle, _node: Out<Handle>, _log: Out<u8>, _size: usize,
    ) {
        instantiate(out, graph, 0)
    }

    fn cuGraphInstantiateWithParams(out: Out<Handle>, graph: Handle, parameters: Out<InstantiateParams>) {
        let given = parameters.read().get(0).ok_or(Code::INVALID_VALUE)?;
        let outcome = instantiate(out, graph, given.flags);
        let result = u32::from(outcome.is_err());
        parameters.offer(InstantiateParams { node: Handle::NULL, result, ..given });
        outcome
    }

    fn cuGraphInstantiate_v2(
        out: Out<Handle>, graph: Handle, _node: Out<Handle>, _log: Out<u8>, _size: usize,
    ) {
        instantiate(out, graph, 0)
    }

    fn cuGraphLaunch(executable: Handle, stream: Handle) {
        let (mut state, context) = driver()?.enter()?;
        state.launch_graph(context, executable, stream)
    }

    fn cuGraphUpload(executable: Handle, stream: Handle) {
        let (mut state, context) = driver()?.enter()?;
        state.upload_graph(context, executable, stream)
    }

    fn cuGraphExecUpdate(executable: Handle, graph: Handle, node: Out<Handle>, result: Out<u32>) {
        let (said, outcome) = update(executable, graph);
        node.offer(Handle::NULL);
        result.offer(said);
        outcome
    }

    fn cuGraphExecUpdate_v2(executable: Handle, graph: Handle, result: Out<UpdateResult>) {
        let (said, outcome) = update(executable, graph);
        result.offer(UpdateResult { result: said, ..UpdateResult::default() });
        outcome
    }

    fn cuGraphDestroy(graph: Handle) {
        driver()?.lock().destroy_graph(graph)
    }

    fn cuGraphExecDestroy(executable: Handle) {
        driver()?.lock().destroy_executable(executable)
    }
}
