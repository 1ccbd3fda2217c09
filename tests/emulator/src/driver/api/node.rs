//! Kernels in graphs, as C calls them.

#![expect(unsafe_code, reason = "the boundary to C")]

use super::super::code::Code;
use super::super::handles::Handle;
use super::super::launch::Shape;
use super::super::node::Told;
use super::super::state::driver;
use super::api;
use super::launch::Parameters;
use super::pointer::{Client, In, Out};

/// `CUDA_KERNEL_NODE_PARAMS_v1`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct KernelNode {
    function: Handle,
    grid: [u32; 3],
    block: [u32; 3],
    shared: u32,
    each: usize,
    extra: usize,
}

/// `CUDA_KERNEL_NODE_PARAMS_v2`: the kernel of a library in place of a function, and its context.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct KernelNode2 {
    first: KernelNode,
    kernel: Handle,
    context: Handle,
}

impl KernelNode {
    fn shape(&self) -> Shape {
        Shape { grid: self.grid, block: self.block, shared: self.shared, cooperative: false }
    }

    fn parameters(&self) -> Parameters {
        Parameters { each: In::<Client>::at(self.each), extra: In::at(self.extra) }
    }
}

/// The parameters that a client gives, whatever names their kernel.
fn given(node: In<KernelNode2>) -> Result<KernelNode, Code> {
    let KernelNode2 { mut first, kernel, .. } = node.get(0).ok_or(Code::INVALID_VALUE)?;
    if first.function == Handle::NULL {
        first.function = kernel;
    }
    Ok(first)
}

fn tell(node: Handle) -> Result<KernelNode2, Code> {
    let (mut state, _) = driver()?.enter()?;
    let Told { function, context, shape, parameters } = state.kernel_node(node)?;
    let Shape { grid, block, shared, .. } = shape;
    let first = KernelNode { function, grid, block, shared, each: parameters, extra: 0 };
    Ok(KernelNode2 { first, kernel: Handle::NULL, context })
}

fn set(node: Handle, given: KernelNode) -> Result<(), Code> {
    let (mut state, _) = driver()?.enter()?;
    let parameters = given.parameters();
    state.set_kernel_node(node, given.function, given.shape(), |layout, size| parameters.block(layout, size))
}

fn set_executable(executable: Handle, node: Handle, given: KernelNode) -> Result<(), Code> {
    let (mut state, _) = driver()?.enter()?;
    let parameters = given.parameters();
    let block = |layout: &[(usize, usize)], size| parameters.block(layout, size);
    state.set_executable_kernel(executable, node, given.function, given.shape(), block)
}

api! {
    fn cuGraphKernelNodeGetParams(node: Handle, out: Out<KernelNode>) {
        out.set(tell(node)?.first)
    }

    fn cuGraphKernelNodeGetParams_v2(node: Handle, out: Out<KernelNode2>) {
        out.set(tell(node)?)
    }

    fn cuGraphKernelNodeSetParams(node: Handle, given: In<KernelNode>) {
        set(node, given.get(0).ok_or(Code::INVALID_VALUE)?)
    }

    fn cuGraphKernelNodeSetParams_v2(node: Handle, parameters: In<KernelNode2>) {
        set(node, given(parameters)?)
    }

    fn cuGraphExecKernelNodeSetParams(executable: Handle, node: Handle, given: In<KernelNode>) {
        set_executable(executable, node, given.get(0).ok_or(Code::INVALID_VALUE)?)
    }

    fn cuGraphExecKernelNodeSetParams_v2(executable: Handle, node: Handle, parameters: In<KernelNode2>) {
        set_executable(executable, node, given(parameters)?)
    }
}
