//! Modules and libraries, as C calls them. A library is a module of the context in which it was loaded.

#![expect(unsafe_code, reason = "the boundary to C")]

use super::super::code::Code;
use super::super::handles::Handle;
use super::super::link::Told;
use super::super::module::Refusal;
use super::super::state::driver;
use super::api;
use super::pointer::{Client, Image, In, Out, Text};

/// Options of the assembler that matter here: where its words go, and how many bytes there are for them.
const INFO_LOG: u32 = 3;
const INFO_LOG_BYTES: u32 = 4;
const ERROR_LOG: u32 = 5;
const ERROR_LOG_BYTES: u32 = 6;

/// The options of a call. Values are pointers, or numbers in their place.
pub(super) struct Options {
    count: u32,
    numbers: In<u32>,
    values: In<usize>,
    /// The same, to store in.
    back: Out<usize>,
}

impl Options {
    pub(super) fn new(count: u32, numbers: In<u32>, values: Out<usize>) -> Self {
        Self { count, numbers, values: values.read(), back: values }
    }

    /// The options of a link, and back.
    pub(super) fn tell(&self) -> Told {
        Told { count: self.count, numbers: self.numbers.address(), values: self.values.address() }
    }

    pub(super) fn told(told: Told) -> Self {
        Self::new(told.count, In::at(told.numbers), Out::at(told.values))
    }

    /// Nothing to tell, and what is wrong.
    pub(super) fn report(&self, error: &str) {
        self.say([INFO_LOG, INFO_LOG_BYTES], "");
        self.say([ERROR_LOG, ERROR_LOG_BYTES], error);
    }

    fn find(&self, number: u32) -> Option<usize> {
        (0..self.count as usize).find(|at| self.numbers.get(*at) == Some(number))
    }

    /// Stores what was said, cut to the room that there is, and its length.
    fn say(&self, [log, bytes]: [u32; 2], text: &str) {
        let Some(place) = self.find(bytes) else { return };
        let room = self.values.get(place).unwrap_or(0) as u32 as usize; // the driver takes 32 bits of it
        let buffer = self.find(log).and_then(|at| self.values.get(at)).filter(|address| *address != 0);
        let Some(buffer) = buffer.filter(|_| room > 0) else { return };
        let text = &text.as_bytes()[..text.len().min(room - 1)];
        Client::at(buffer).write(&[text, &[0]].concat());
        self.back.put(place, text.len());
    }
}

fn load(out: Out<Handle>, image: Image, options: Option<&Options>) -> Result<(), Code> {
    let driver = driver()?;
    driver.check()?;
    out.needed()?;
    let content = image.read().ok_or(Code::INVALID_VALUE)?;
    let loaded = driver.load(content);
    if let Some(options) = options {
        options.report(loaded.as_ref().err().map_or("", |refusal| &refusal.log));
    }
    out.set(loaded.map_err(|Refusal { code, .. }| code)?)
}

fn load_file(out: Out<Handle>, path: Text) -> Result<(), Code> {
    driver()?.check()?;
    let path = path.read().ok_or(Code::INVALID_VALUE)?;
    let mut bytes = std::fs::read(path).map_err(|_| Code::FILE_NOT_FOUND)?;
    bytes.resize(bytes.len().max(20) + 1, 0); // it ends, also for who looks for a header
    load(out, Image::from(bytes.as_slice()), None)
}

fn find_function(out: Out<Handle>, module: Handle, name: Text) -> Result<(), Code> {
    let (mut state, _) = driver()?.enter()?;
    out.needed()?;
    out.set(state.find_function(module, &name.read().ok_or(Code::INVALID_VALUE)?)?)
}

fn find_variable(address: Out<u64>, size: Out<usize>, module: Handle, name: Text) -> Result<(), Code> {
    let (state, _) = driver()?.enter()?;
    let (at, bytes) = state.find_variable(module, &name.read().ok_or(Code::INVALID_VALUE)?)?;
    address.offer(at);
    size.offer(bytes as usize);
    Ok(())
}

api! {
    fn cuModuleLoad(out: Out<Handle>, path: Text) {
        load_file(out, path)
    }

    fn cuModuleLoadData(out: Out<Handle>, image: Image) {
        load(out, image, None)
    }

    fn cuModuleLoadDataEx(out: Out<Handle>, image: Image, count: u32, numbers: In<u32>, values: Out<usize>) {
        load(out, image, Some(&Options::new(count, numbers, values)))
    }

    fn cuModuleLoadFatBinary(out: Out<Handle>, image: Image) {
        load(out, image, None)
    }

    fn cuModuleUnload(module: Handle) {
        driver()?.unload(module)
    }

    fn cuModuleGetFunction(out: Out<Handle>, module: Handle, name: Text) {
        find_function(out, module, name)
    }

    fn cuModuleGetGlobal_v2(address: Out<u64>, size: Out<usize>, module: Handle, name: Text) {
        find_variable(address, size, module, name)
    }

    fn cuModuleGetLoadingMode(out: Out<u32>) {
        driver()?;
        out.set(1) // eager
    }

    fn cuLibraryLoadData(
        out: Out<Handle>, image: Image, numbers: In<u32>, values: Out<usize>, count: u32, _options: In<u32>,
        _option_values: In<usize>, _option_count: u32,
    ) {
        load(out, image, Some(&Options::new(count, numbers, values)))
    }

    fn cuLibraryLoadFromFile(
        out: Out<Handle>, path: Text, _numbers: In<u32>, _values: Out<usize>, _count: u32, _options: In<u32>,
        _option_values: In<usize>, _option_count: u32,
    ) {
        load_file(out, path)
    }

    fn cuLibraryUnload(library: Handle) {
        driver()?.unload(library)
    }

    fn cuLibraryGetModule(out: Out<Handle>, library: Handle) {
        let (state, _) = driver()?.enter()?;
        state.modules.get(library, Code::INVALID_HANDLE)?;
        out.set(library)
    }

    fn cuLibraryGetKernel(out: Out<Handle>, library: Handle, name: Text) {
        find_function(out, library, name)
    }

    fn cuLibraryGetGlobal(address: Out<u64>, size: Out<usize>, library: Handle, name: Text) {
        find_variable(address, size, library, name)
    }

    fn cuKernelGetFunction(out: Out<Handle>, kernel: Handle) {
        let (state, _) = driver()?.enter()?;
        state.function(kernel)?;
        out.set(kernel)
    }
}
