//! Linking and the kernels of libraries, as C calls them.

#![expect(unsafe_code, reason = "the boundary to C")]

use super::super::code::Code;
use super::super::handles::Handle;
use super::super::link::Told;
use super::super::state::driver;
use super::api;
use super::module::Options;
use super::pointer::{Image, In, Out, Static, Text};

/// `CU_JIT_INPUT_PTX`.
const PTX: u32 = 1;

fn create(out: Out<Handle>, told: Told) -> Result<(), Code> {
    let (mut state, context) = driver()?.enter()?;
    out.needed()?;
    out.set(state.create_link(context, told))
}

fn add(link: Handle, kind: u32, text: &str) -> Result<(), Code> {
    let (mut state, _) = driver()?.enter()?;
    if kind != PTX {
        super::super::findings::say("a link of what is no PTX: this device has no binary code");
        return Err(Code::NO_BINARY_FOR_GPU);
    }
    let (told, outcome) = state.add_to_link(link, text)?;
    outcome.map_err(|refusal| {
        Options::told(told).report(&refusal.log);
        refusal.code
    })
}

api! {
    fn cuLinkCreate_v2(count: u32, numbers: In<u32>, values: Out<usize>, out: Out<Handle>) {
        create(out, Options::new(count, numbers, values).tell())
    }

    fn cuLinkAddData_v2(
        link: Handle, kind: u32, image: Image, size: usize, _name: Text, _count: u32, _numbers: In<u32>,
        _values: In<usize>,
    ) {
        add(link, kind, &image.text(size).ok_or(Code::INVALID_VALUE)?)
    }

    fn cuLinkAddFile_v2(
        link: Handle, kind: u32, path: Text, _count: u32, _numbers: In<u32>, _values: In<usize>,
    ) {
        let path = path.read().ok_or(Code::INVALID_VALUE)?;
        let bytes = std::fs::read(path).map_err(|_| Code::FILE_NOT_FOUND)?;
        add(link, kind, &String::from_utf8_lossy(&bytes))
    }

    fn cuLinkComplete(link: Handle, image: Out<usize>, size: Out<usize>) {
        let (mut state, _) = driver()?.enter()?;
        let (address, bytes, told) = state.complete_link(link)?;
        Options::told(told).report("");
        image.set(address)?;
        size.offer(bytes);
        Ok(())
    }

    fn cuLinkDestroy(link: Handle) {
        driver()?.lock().destroy_link(link)
    }

    fn cuKernelGetAttribute(out: Out<i32>, number: u32, kernel: Handle, _device: i32) {
        let (state, _) = driver()?.enter()?;
        out.set(state.function_attribute(kernel, number)?)
    }

    fn cuKernelSetAttribute(number: u32, value: i32, kernel: Handle, _device: i32) {
        let (mut state, _) = driver()?.enter()?;
        state.set_function_attribute(kernel, number, value)
    }

    fn cuKernelSetCacheConfig(kernel: Handle, _config: u32, _device: i32) {
        let (state, _) = driver()?.enter()?;
        state.function(kernel).map(|_| ())
    }

    fn cuKernelGetParamInfo(kernel: Handle, index: usize, offset: Out<usize>, size: Out<usize>) {
        let (state, _) = driver()?.enter()?;
        let (at, bytes) = *state.function(kernel)?.kernel.parameters.get(index).ok_or(Code::INVALID_VALUE)?;
        offset.set(at)?;
        size.offer(bytes);
        Ok(())
    }

    fn cuKernelGetName(out: Out<Static>, kernel: Handle) {
        let (state, _) = driver()?.enter()?;
        out.set(Static::of(&state.function(kernel)?.name))
    }

    fn cuFuncGetName(out: Out<Static>, function: Handle) {
        let (state, _) = driver()?.enter()?;
        out.set(Static::of(&state.function(function)?.name))
    }

    fn cuKernelGetLibrary(out: Out<Handle>, kernel: Handle) {
        let (state, _) = driver()?.enter()?;
        out.set(state.function(kernel)?.module)
    }

    fn cuFuncIsLoaded(out: Out<u32>, function: Handle) {
        let (state, _) = driver()?.enter()?;
        state.function(function)?;
        out.set(1)
    }

    fn cuFuncLoad(function: Handle) {
        let (state, _) = driver()?.enter()?;
        state.function(function).map(|_| ())
    }

    fn cuLibraryGetKernelCount(out: Out<u32>, library: Handle) {
        let (mut state, _) = driver()?.enter()?;
        out.set(state.functions_of(library)?.len() as u32)
    }

    fn cuLibraryEnumerateKernels(out: Out<Handle>, count: u32, library: Handle) {
        let (mut state, _) = driver()?.enter()?;
        out.needed()?;
        let all = state.functions_of(library)?;
        all.into_iter().take(count as usize).enumerate().for_each(|(at, kernel)| out.put(at, kernel));
        Ok(())
    }

    fn cuModuleGetFunctionCount(out: Out<u32>, module: Handle) {
        let (mut state, _) = driver()?.enter()?;
        out.set(state.functions_of(module)?.len() as u32)
    }

    fn cuModuleEnumerateFunctions(out: Out<Handle>, count: u32, module: Handle) {
        let (mut state, _) = driver()?.enter()?;
        out.needed()?;
        let all = state.functions_of(module)?;
        all.into_iter().take(count as usize).enumerate().for_each(|(at, function)| out.put(at, function));
        Ok(())
    }

    fn cuLibraryGetManaged(_address: Out<u64>, _size: Out<usize>, library: Handle, _name: Text) {
        let (state, _) = driver()?.enter()?;
        state.modules.get(library, Code::INVALID_HANDLE)?;
        Err(Code::NOT_FOUND) // no module has such variables
    }
}
