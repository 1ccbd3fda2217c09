//! The driver with every answer written down, as `hardware/calls.py` has it: the cases here are the ones there, call by call.

use cuda_emulator::driver::code::Code;
use cuda_emulator::driver::handles::Handle;
use cuda_emulator::driver::pointer::{Client, Image, In, Out, Text};
use serde_json::{Value, json};
use std::ffi::CString;

pub(crate) const GLOBAL: u32 = 0;
pub(crate) const THREAD_LOCAL: u32 = 1;
pub(crate) const RELAXED: u32 = 2;
pub(crate) const NON_BLOCKING: u32 = 1;
pub(crate) const DYNAMIC_SHARED: u32 = 8;
pub(crate) const NULL: Handle = Handle::NULL;
/// An address that nobody gave.
pub(crate) const FAKE: u64 = 0x7F00_0000_1000;
pub(crate) const HEAD: &str = ".version 7.0\n.target sm_75\n.address_size 64\n";

/// Calls a function of the driver, and writes down what it answered, under its name and perhaps a note.
macro_rules! call {
    ($log:ident, $name:ident($($argument:expr),* $(,)?)) => { call!($log, $name($($argument),*), "") };
    ($log:ident, $name:ident($($argument:expr),*), $note:expr) => {{
        // SAFETY: what is passed lives through the call, or is a handle.
        let code = unsafe { cuda_emulator::driver::$name($($argument),*) };
        $log.answer(stringify!($name), &$note, code)
    }};
}
pub(crate) use call;

/// A call that must succeed, and is not part of the case.
macro_rules! quiet {
    ($name:ident($($argument:expr),* $(,)?)) => {{
        // SAFETY: what is passed lives through the call, or is a handle.
        let code = unsafe { cuda_emulator::driver::$name($($argument),*) };
        assert_eq!(code, cuda_emulator::driver::code::Code::SUCCESS, stringify!($name));
    }};
}
pub(crate) use quiet;

pub(crate) struct Log {
    pub(crate) calls: Vec<Value>,
    pub(crate) context: Handle,
    pub(crate) module: Handle,
}

impl Log {
    /// With the driver as the process found it.
    pub(crate) fn unstarted() -> Self {
        Self { calls: vec![], context: NULL, module: NULL }
    }

    /// With the primary context current.
    pub(crate) fn new() -> Self {
        let mut log = Self::unstarted();
        quiet!(cuInit(0));
        quiet!(cuDevicePrimaryCtxRetain((&mut log.context).into(), 0));
        quiet!(cuCtxSetCurrent(log.context));
        log
    }

    pub(crate) fn say(&mut self, what: impl Into<String>, value: impl Into<Value>) {
        self.calls.push(json!([what.into(), value.into()]));
    }

    pub(crate) fn answer(&mut self, name: &str, note: &str, code: Code) -> Code {
        self.say(format!("{name} {note}").trim(), code.0);
        code
    }

    pub(crate) fn alloc(&mut self, size: usize) -> u64 {
        let mut address = 0;
        quiet!(cuMemAlloc_v2((&mut address).into(), size));
        address
    }

    pub(crate) fn kernel(&mut self, name: &str) -> Handle {
        if self.module == NULL {
            quiet!(cuModuleLoadData((&mut self.module).into(), Image::from(faults().as_slice())));
        }
        let (mut function, name) = (NULL, CString::new(name).unwrap());
        quiet!(cuModuleGetFunction((&mut function).into(), self.module, Text::from(name.as_c_str())));
        function
    }

    pub(crate) fn stream(&mut self, flags: u32) -> Handle {
        let mut stream = NULL;
        quiet!(cuStreamCreate((&mut stream).into(), flags));
        stream
    }

    pub(crate) fn event(&mut self, flags: u32) -> Handle {
        let mut event = NULL;
        quiet!(cuEventCreate((&mut event).into(), flags));
        event
    }

    /// A launch of a kernel by its name.
    pub(crate) fn launch(&mut self, name: &str) -> Launch<'_> {
        let function = self.kernel(name);
        Launch::new(self, function, name)
    }

    pub(crate) fn launch_function(&mut self, function: Handle) -> Launch<'_> {
        Launch::new(self, function, "")
    }

    pub(crate) fn spin(&mut self, stream: Handle, milliseconds: u64) {
        self.launch("spin").with(milliseconds * 1_000_000).on(stream).run();
    }
}

/// `ptx/faults.ptx`, with the zero that ends it.
pub(crate) fn faults() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/hardware/ptx/faults.ptx");
    [std::fs::read(path).unwrap(), vec![0]].concat()
}

/// A launch: of one thread, where nothing else is said.
pub(crate) struct Launch<'a> {
    log: &'a mut Log,
    function: Handle,
    arguments: Vec<u64>,
    grid: [u32; 3],
    block: [u32; 3],
    shared: u32,
    stream: Handle,
    note: String,
    cooperative: bool,
}

impl<'a> Launch<'a> {
    fn new(log: &'a mut Log, function: Handle, name: &str) -> Self {
        let (arguments, note) = (vec![], name.to_owned());
        Self {
            log,
            function,
            arguments,
            grid: [1; 3],
            block: [1; 3],
            shared: 0,
            stream: NULL,
            note,
            cooperative: false,
        }
    }

    pub(crate) fn with(mut self, argument: u64) -> Self {
        self.arguments.push(argument);
        self
    }

    pub(crate) fn grid(self, grid: [u32; 3]) -> Self {
        Self { grid, ..self }
    }

    pub(crate) fn block(self, block: [u32; 3]) -> Self {
        Self { block, ..self }
    }

    pub(crate) fn threads(self, threads: u32) -> Self {
        self.block([threads, 1, 1])
    }

    pub(crate) fn shared(self, shared: u32) -> Self {
        Self { shared, ..self }
    }

    pub(crate) fn on(self, stream: Handle) -> Self {
        Self { stream, ..self }
    }

    pub(crate) fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    pub(crate) fn cooperative(self) -> Self {
        Self { cooperative: true, ..self }
    }

    pub(crate) fn run(mut self) -> Code {
        // A parameter of four bytes is the lower half.
        let each: Vec<Client> =
            self.arguments.iter_mut().map(|word| Client::from(std::slice::from_mut(word))).collect();
        let each = if each.is_empty() { In::NULL } else { In::from(each.as_slice()) };
        let Self { log, function, shared, stream, note, .. } = self;
        let ([x, y, z], [a, b, c]) = (self.grid, self.block);
        if self.cooperative {
            call!(log, cuLaunchCooperativeKernel(function, x, y, z, a, b, c, shared, stream, each), note)
        } else {
            call!(log, cuLaunchKernel(function, x, y, z, a, b, c, shared, stream, each, In::NULL), note)
        }
    }
}

/// Somewhere for a handle that nobody needs.
pub(crate) fn nowhere() -> Out<Handle> {
    Out::from(Box::leak(Box::new(NULL)))
}
