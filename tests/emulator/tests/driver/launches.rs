//! Launches that the driver refuses, shared memory beyond the default, modules and their lookups: `hardware/launches.py`.

use cuda_emulator::driver::code::Code;
use cuda_emulator::driver::handles::Handle;
use cuda_emulator::driver::pointer::{Client, Image, In, Out, Text};

use crate::Case;
use crate::log::{DYNAMIC_SHARED, HEAD, Log, NULL, call, nowhere};

pub(crate) const CASES: &[Case] = &[
    ("launch_shapes", launch_shapes),
    ("launch_handles", |log| {
        let empty = log.kernel("empty");
        call!(log, cuLaunchKernel(NULL, 1, 1, 1, 1, 1, 1, 0, NULL, In::NULL, In::NULL), "null function");
        let note = "no parameters, none wanted";
        call!(log, cuLaunchKernel(empty, 1, 1, 1, 1, 1, 1, 0, NULL, In::NULL, In::NULL), note);
        call!(log, cuCtxSynchronize());
    }),
    ("launch_without_parameters", |log| {
        let store = log.kernel("store");
        let note = "null parameters, two wanted";
        call!(log, cuLaunchKernel(store, 1, 1, 1, 1, 1, 1, 0, NULL, In::NULL, In::NULL), note);
        call!(log, cuCtxSynchronize());
    }),
    ("shared_limits", shared_limits),
    ("module_loading", module_loading),
    ("module_of_too_much_static_shared_memory", |log| {
        let text = ".visible .entry k() { .shared .b8 t[49153]; .reg .b32 %r; ld.volatile.shared.u32 %r, [t]; \
                    st.volatile.shared.u32 [t+49148], %r; ret; }\n";
        let (module, mut function) = (load(log, format!("{HEAD}{text}\0").as_bytes(), "49153 bytes"), NULL);
        call!(log, cuModuleGetFunction(Out::from(&mut function), module, Text::from(c"k")));
        log.launch_function(function).run();
        call!(log, cuCtxSynchronize());
    }),
    ("module_null", |log| {
        call!(log, cuModuleLoadData(nowhere(), Image::from([].as_slice())), "null");
    }),
    ("module_lookups", module_lookups),
    ("module_unload_twice", |log| {
        log.kernel("empty");
        call!(log, cuModuleUnload(log.module));
        call!(log, cuModuleUnload(log.module));
    }),
    ("function_after_unload", |log| {
        let function = log.kernel("empty");
        call!(log, cuModuleUnload(log.module));
        log.launch_function(function).run();
    }),
];

fn launch_shapes(log: &mut Log) {
    for (grid, block) in [
        ([1, 1, 1], [1024, 1, 1]),
        ([1, 1, 1], [1025, 1, 1]),
        ([1, 1, 1], [32, 33, 1]),
        ([1, 1, 1], [1, 1, 64]),
        ([1, 1, 1], [1, 1, 65]),
        ([0, 1, 1], [32, 1, 1]),
        ([1, 1, 1], [0, 1, 1]),
        ([1, 65535, 1], [1, 1, 1]),
        ([1, 65536, 1], [1, 1, 1]),
        ([1, 1, 65536], [1, 1, 1]),
        ([0x8000_0000, 1, 1], [1, 1, 1]),
    ] {
        let tuple = |[x, y, z]: [u32; 3]| format!("({x}, {y}, {z})");
        let note = format!("grid {} block {}", tuple(grid), tuple(block));
        log.launch("empty").grid(grid).block(block).note(note).run();
        call!(log, cuCtxSynchronize());
    }
    log.launch("most_64").threads(64).note(".maxntid 64, block 64").run();
    log.launch("most_64").threads(65).note(".maxntid 64, block 65").run();
    log.launch("exactly_64").threads(64).note(".reqntid 64, block 64").run();
    log.launch("exactly_64").threads(32).note(".reqntid 64, block 32").run();
    let address = log.alloc(1 << 20);
    log.launch("many_registers").with(address).threads(256).note("many registers, block 256").run();
    log.launch("many_registers").with(address).threads(1024).note("many registers, block 1024").run();
    call!(log, cuCtxSynchronize());
}

fn shared_limits(log: &mut Log) {
    let (dynamic, fixed) = (log.kernel("dynamic"), log.kernel("static_16384"));
    for size in [49152, 49153] {
        log.launch("dynamic").shared(size).note(format!("{size} bytes, no attribute")).run();
    }
    for size in [101_376, 166_912, 232_448, 232_449] {
        call!(log, cuFuncSetAttribute(dynamic, DYNAMIC_SHARED, size), format!("dynamic {size}"));
        log.launch_function(dynamic).shared(size as u32).note(format!("{size} bytes")).run();
        call!(log, cuCtxSynchronize());
    }
    log.launch_function(dynamic).shared(232_448).note("232448 bytes after the refusal").run();
    call!(log, cuFuncSetAttribute(dynamic, DYNAMIC_SHARED, 65536), "dynamic 65536");
    log.launch_function(dynamic).shared(65537).note("65537 bytes").run();
    call!(log, cuFuncSetAttribute(dynamic, DYNAMIC_SHARED, -1), "dynamic -1");
    call!(log, cuFuncSetAttribute(fixed, DYNAMIC_SHARED, 232_448), "static 16384, dynamic 232448");
    call!(log, cuFuncSetAttribute(fixed, DYNAMIC_SHARED, 216_064), "static 16384, dynamic 216064");
    log.launch("static_16384").shared(32768).note("static 16384, dynamic 32768").run();
    call!(log, cuFuncSetAttribute(dynamic, 0, 1), "read-only attribute");
    call!(log, cuFuncSetAttribute(dynamic, 9, 50), "carveout 50");
    call!(log, cuFuncSetAttribute(dynamic, 9, 101), "carveout 101");
    call!(log, cuCtxSynchronize());
}

/// Loads a module twice, once for its log.
fn load(log: &mut Log, image: &[u8], note: &str) -> Handle {
    let (mut errors, mut info, mut module) = ([0u8; 4096], [0u8; 4096], NULL);
    let numbers = [5u32, 6, 3, 4];
    let place = |buffer: &mut [u8]| Client::from(buffer).address();
    let mut values = [place(&mut errors), 4096, place(&mut info), 4096];
    let options = Out::from(&mut values[0]);
    let code = call!(
        log,
        cuModuleLoadDataEx(Out::from(&mut module), Image::from(image), 4, In::from(numbers.as_slice()), options),
        note
    );
    assert_eq!(errors[0] == 0, code == Code::SUCCESS, "{note}: whoever is refused is told why");
    call!(log, cuModuleLoadData(Out::from(&mut module), Image::from(image)), note);
    module
}

fn module_loading(log: &mut Log) {
    let body = ".visible .entry k() { ret; }\n";
    let mut load = |text: String, note: &str| {
        load(log, format!("{text}\0").as_bytes(), note);
    };
    load(format!("{HEAD}{body}"), "good");
    load(format!("{HEAD}.visible .entry k() {{ add.u32 %a, %b; ret; }}\n"), "bad instruction");
    load(format!("{HEAD}.visible .entry k() {{ .reg .b32 %r; frobnicate.b32 %r, %r; ret; }}\n"), "unknown opcode");
    load(format!("{HEAD}.visible .entry k() {{\n"), "unbalanced");
    load("hello".to_owned(), "no PTX");
    load(String::new(), "empty");
    load(HEAD.replace("sm_75", "sm_100") + body, "target sm_100 (.version 7.0)");
    load(HEAD.replace("7.0", "8.6").replace("sm_75", "sm_100") + body, "target sm_100");
    load(HEAD.replace("7.0", "8.0").replace("sm_75", "sm_90a") + body, "target sm_90a");
    load(HEAD.replace("sm_75", "sm_12") + body, "target sm_12");
    load(HEAD.replace("7.0", "9.9") + body, "version 9.9");
    load(HEAD.replace("7.0", "99.0") + body, "version 99.0");
    load(HEAD.replace("64", "32") + body, "32-bit addresses");
    load(format!("{HEAD}.visible .entry k() {{ .reg .b32 %r; cp.async.wait_all; ret; }}\n"), "cp.async for sm_75");
    let calling = ".extern .func f(); .visible .entry k() { call f, (); ret; }\n";
    load(format!("{HEAD}{calling}"), "unresolved function");
    let using = ".extern .global .u32 g; .visible .entry k() { .reg .b32 %r; ld.global.u32 %r, [g]; st.global.u32 [g], %r; ret; }\n";
    load(format!("{HEAD}{using}"), "unresolved variable");
    let shared = ".visible .entry k() { .shared .b8 t[49153]; .reg .b32 %r; ld.shared.u32 %r, [t]; st.shared.u32 [t+49148], %r; ret; }\n";
    load(format!("{HEAD}{shared}"), "49153 bytes of static shared memory");
    load(format!("{HEAD}{body}{body}"), "a name twice");
    self::load(log, &[b"\x7fELF".as_slice(), &[0; 200]].concat(), "an empty ELF");
    for name in ["empty.sm_80.cubin", "empty.sm_90.cubin"] {
        let path = format!("{}/hardware/ptx/{name}", env!("CARGO_MANIFEST_DIR"));
        self::load(log, &std::fs::read(path).unwrap(), name);
    }
}

fn module_lookups(log: &mut Log) {
    let (mut address, mut size) = (0, 0usize);
    log.kernel("empty");
    let module = log.module;
    call!(log, cuModuleGetFunction(nowhere(), module, Text::from(c"absent")));
    call!(log, cuModuleGetFunction(nowhere(), module, Text::from(c"")));
    call!(log, cuModuleGetGlobal_v2(Out::from(&mut address), Out::from(&mut size), module, Text::from(c"absent")));
    call!(log, cuModuleGetGlobal_v2(Out::from(&mut address), Out::from(&mut size), module, Text::from(c"table")));
    log.say("size of table", size);
    call!(log, cuModuleGetFunction(nowhere(), NULL, Text::from(c"empty")), "null module");
    call!(log, cuModuleUnload(module));
}
