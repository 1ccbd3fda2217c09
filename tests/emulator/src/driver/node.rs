//! Kernels in graphs: what a node launches, and changing that, in a graph or only in an executable made of it. Not here: the order of nodes
//! (`graph.rs`).

use std::collections::HashMap;
use std::sync::Arc;

use super::code::Code;
use super::graph::Graph;
use super::handles::Handle;
use super::launch::Shape;
use super::state::State;
use super::work::Work;

/// What `cuGraphKernelNodeGetParams` tells.
pub(super) struct Told {
    pub(super) function: Handle,
    pub(super) context: Handle,
    pub(super) shape: Shape,
    /// Where an array of pointers to the parameters is.
    pub(super) parameters: usize,
}

/// Parameters of nodes where clients may look at them, until they ask again.
#[derive(Default)]
pub(super) struct Shown {
    of_nodes: HashMap<Handle, Parameters>,
}

/// The block of parameters, and pointers into it.
struct Parameters {
    block: Box<[u8]>,
    each: Box<[usize]>,
}

impl Parameters {
    fn new(block: &[u8], layout: &[(usize, usize)]) -> Self {
        let block: Box<[u8]> = block.into();
        let each = layout.iter().map(|(offset, _)| block.as_ptr() as usize + offset).collect();
        Self { block, each }
    }
}

/// The launch of a kernel's node.
fn kernel(work: Option<&Work>) -> Result<&Work, Code> {
    work.filter(|work| matches!(work, Work::Kernel { .. })).ok_or(Code::INVALID_VALUE)
}

impl State {
    /// The graph that has a node.
    fn graph_of(&self, node: Handle) -> Option<Handle> {
        self.graphs.iter().find(|(_, graph)| graph.work(node).is_some()).map(|(handle, _)| handle)
    }

    /// What a node does, of a graph or of one that is still captured.
    pub(super) fn node_work(&self, node: Handle) -> Result<&Work, Code> {
        let found = self.graphs.iter().find_map(|(_, graph)| graph.work(node));
        found.or_else(|| self.captures.work(node)).ok_or(Code::INVALID_VALUE)
    }

    /// `cuGraphKernelNodeGetParams`.
    pub(super) fn kernel_node(&mut self, node: Handle) -> Result<Told, Code> {
        let Work::Kernel { function, kernel, launch } = self.node_work(node)? else {
            return Err(Code::INVALID_VALUE);
        };
        let parameters = Parameters::new(&launch.parameters, &kernel.parameters);
        let shape =
            Shape { grid: launch.grid, block: launch.block, shared: launch.shared, cooperative: launch.cooperative };
        let context = self.function(*function)?.context;
        let told = Told { function: *function, context, shape, parameters: parameters.each.as_ptr() as usize };
        debug_assert_eq!(parameters.block.len(), kernel.parameter_bytes);
        self.shown.of_nodes.insert(node, parameters);
        Ok(told)
    }

    /// `cuGraphKernelNodeSetParams`: executables that were made before stay as they are.
    pub(super) fn set_kernel_node(
        &mut self,
        node: Handle,
        function: Handle,
        shape: Shape,
        parameters: impl Fn(&[(usize, usize)], usize) -> Option<Vec<u8>>,
    ) -> Result<(), Code> {
        let launch = self.checked(function, shape, parameters)?;
        let graph = self.graph_of(node).ok_or(Code::INVALID_VALUE)?;
        replace(self.graphs.find_mut(graph), node, launch)
    }

    /// `cuGraphExecKernelNodeSetParams`: of the launches that come. The node is one of the graph that the executable was made of.
    pub(super) fn set_executable_kernel(
        &mut self,
        executable: Handle,
        node: Handle,
        function: Handle,
        shape: Shape,
        parameters: impl Fn(&[(usize, usize)], usize) -> Option<Vec<u8>>,
    ) -> Result<(), Code> {
        let found = self.executables.find(executable).ok_or(Code::INVALID_VALUE)?;
        kernel(found.graph.work(node))?;
        let context = found.context;
        let launch = self.checked(function, shape, parameters)?;
        // a node's function may change, its context may not
        if self.function(function)?.context != context {
            return Err(Code::INVALID_VALUE);
        }
        replace(self.executables.find_mut(executable).map(|found| &mut found.graph), node, launch)
    }
}

/// Gives a node another launch. Work that was queued keeps the one that it had.
fn replace(graph: Option<&mut Arc<Graph>>, node: Handle, launch: Work) -> Result<(), Code> {
    let graph = graph.ok_or(Code::INVALID_VALUE)?;
    kernel(graph.work(node))?;
    *Arc::make_mut(graph).work_mut(node).ok_or(Code::INVALID_VALUE)? = launch;
    Ok(())
}
