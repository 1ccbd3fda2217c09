//! Graphs: work with its order, launched as one. An executable graph keeps the parameters of its work as they were captured. Not here: how a
//! capture makes one, parameters of its kernels (`node.rs`); nodes cannot be added by hand.

use std::sync::Arc;

use super::code::Code;
use super::device::Device;
use super::findings;
use super::handles::Handle;
use super::schedule::{Random, Ticket};
use super::state::State;
use super::work::Work;
use crate::launch::Failure;

#[derive(Clone)]
pub(super) struct Graph {
    pub(super) context: Handle,
    nodes: Vec<Node>,
}

#[derive(Clone)]
pub(super) struct Node {
    pub(super) handle: Handle,
    pub(super) work: Work,
    /// What it waits for: places of earlier nodes.
    pub(super) after: Vec<usize>,
}

pub(super) struct Executable {
    pub(super) context: Handle,
    pub(super) graph: Arc<Graph>,
    /// Its last launch: it never runs beside itself.
    last: Option<Ticket>,
}

/// Flags of `cuGraphInstantiate`: free what it allocates at each launch, upload, launch from the device, keep the priorities of nodes.
const AUTO_FREE: u64 = 1;
const FROM_DEVICE: u64 = 4;
const ALL_FLAGS: u64 = 15;

impl Graph {
    pub(super) fn new(context: Handle, nodes: Vec<Node>) -> Self {
        Self { context, nodes }
    }

    pub(super) fn works(&self) -> impl Iterator<Item = &Work> {
        self.nodes.iter().map(|node| &node.work)
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = Handle> {
        self.nodes.iter().map(|node| node.handle)
    }

    pub(super) fn work(&self, node: Handle) -> Option<&Work> {
        self.nodes.iter().find(|found| found.handle == node).map(|node| &node.work)
    }

    pub(super) fn work_mut(&mut self, node: Handle) -> Option<&mut Work> {
        self.nodes.iter_mut().find(|found| found.handle == node).map(|node| &mut node.work)
    }

    /// The works of another graph of the same shape, under the own handles.
    fn with_works_of(&self, other: &Self) -> Self {
        let pairs = self.nodes.iter().zip(&other.nodes);
        let nodes = pairs.map(|(own, other)| Node { work: other.work.clone(), ..own.clone() }).collect();
        Self { context: self.context, nodes }
    }

    /// Runs all nodes, in an order that their arrows allow.
    pub(super) fn run(&self, device: &Device) -> Result<(), Failure> {
        let mut random = Random::new(device.settings.seed);
        let mut done = vec![false; self.nodes.len()];
        for _ in 0..self.nodes.len() {
            let is_ready = |at: &usize| !done[*at] && self.nodes[*at].after.iter().all(|before| done[*before]);
            let mut ready = (0..self.nodes.len()).filter(is_ready);
            let drawn = if random.natural() {
                ready.next()
            } else {
                let ready: Vec<usize> = ready.collect();
                ready.get(random.below(ready.len())).copied()
            };
            let Some(at) = drawn else { break };
            done[at] = true;
            self.nodes[at].work.run(device)?;
        }
        Ok(())
    }

    /// Whether an executable of the other can take this one's parameters.
    fn is_like(&self, other: &Self) -> bool {
        self.nodes.len() == other.nodes.len()
            && self
                .nodes
                .iter()
                .zip(&other.nodes)
                .all(|(one, other)| node_type(&one.work) == node_type(&other.work) && one.after == other.after)
    }
}

/// A node's `CUgraphNodeType`.
pub(super) fn node_type(work: &Work) -> u32 {
    match work {
        Work::Kernel { .. } => 0,
        Work::Copy { .. } => 1,
        Work::Fill { .. } => 2,
        Work::Call(_) => 3,
        Work::Graph(_) => 4,
        Work::Nothing | Work::Mark(_) | Work::Free(_) => 5,
    }
}

impl State {
    /// A graph, one that is still captured as it is by now; of what is none, `INVALID_VALUE`, as recorded of null.
    pub(super) fn graph(&self, graph: Handle) -> Result<Arc<Graph>, Code> {
        let found = self.graphs.find(graph).map(Arc::clone);
        found.or_else(|| self.captures.graph(graph).map(Arc::new)).ok_or(Code::INVALID_VALUE)
    }

    /// `cuGraphDestroy`. Works in a context that failed, too.
    pub(super) fn destroy_graph(&mut self, graph: Handle) -> Result<(), Code> {
        self.graphs.remove(graph, Code::INVALID_VALUE).map(|_| ()).map_err(|_| Code::INVALID_VALUE)
    }

    pub(super) fn instantiate(&mut self, graph: Handle, flags: u64) -> Result<Handle, Code> {
        let graph = self.graphs.find(graph).map(Arc::clone).ok_or(Code::INVALID_VALUE)?;
        if flags & !ALL_FLAGS != 0 || flags & AUTO_FREE != 0 && flags & FROM_DEVICE != 0 {
            return Err(Code::INVALID_VALUE);
        }
        if flags & FROM_DEVICE != 0 {
            return Err(Code::NOT_SUPPORTED);
        }
        Ok(self.executables.add(Executable { context: graph.context, graph, last: None }))
    }

    /// `cuGraphExecDestroy`. What it was launched for still runs.
    pub(super) fn destroy_executable(&mut self, executable: Handle) -> Result<(), Code> {
        self.executables.remove(executable, Code::INVALID_VALUE).map(|_| ()).map_err(|_| Code::INVALID_VALUE)
    }

    /// `cuGraphLaunch`.
    pub(super) fn launch_graph(&mut self, context: Handle, executable: Handle, named: Handle) -> Result<(), Code> {
        let found = self.executables.find(executable).ok_or(Code::INVALID_VALUE)?;
        let (graph, last) = (Arc::clone(&found.graph), found.last);
        let stream = self.stream(context, named)?;
        if self.ordinal_of(graph.context) != self.ordinal_of(self.context_of(stream)?) {
            findings::say("a graph is launched on a stream of another device, which is not emulated");
            return Err(Code::NOT_SUPPORTED);
        }
        let after: Vec<Ticket> = last.into_iter().collect();
        let ticket = self.submit(stream, Work::Graph(graph), &after)?;
        if let Some(found) = self.executables.find_mut(executable) {
            found.last = ticket.or(last);
        }
        Ok(())
    }

    /// `cuGraphUpload`: nothing but its checks.
    pub(super) fn upload_graph(&mut self, context: Handle, executable: Handle, named: Handle) -> Result<(), Code> {
        self.executables.find(executable).ok_or(Code::INVALID_VALUE)?;
        self.stream(context, named).map(|_| ())
    }

    /// `cuGraphExecUpdate`: the parameters of another graph of the same shape.
    pub(super) fn update_executable(&mut self, executable: Handle, graph: Handle) -> Result<(), Code> {
        let graph = self.graph(graph)?;
        let found = self.executables.find_mut(executable).ok_or(Code::INVALID_VALUE)?;
        if !graph.is_like(&found.graph) {
            return Err(Code::GRAPH_EXEC_UPDATE_FAILURE);
        }
        // nodes of the graph that it was made of still name its own
        found.graph = Arc::new(found.graph.with_works_of(&graph));
        Ok(())
    }
}
