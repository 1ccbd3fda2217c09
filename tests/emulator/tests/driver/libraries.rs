//! Libraries, their kernels, and links of PTX. Each is a case in a process of its own.

use std::ffi::{CStr, CString};

use cuda_emulator::driver::handles::Handle;
use cuda_emulator::driver::pointer::{Client, Image, In, Out, Static, Text};
use serde_json::{Value, json};

use crate::log::{HEAD, NULL, call, faults, nowhere, quiet};
use crate::{Case, Settings, child};

/// A kernel that stores 7 by a function of another text, and adds a variable that is there too.
const CALLER: &str = ".extern .func (.param .b32 r) seven();\n.extern .global .u32 more;\n\
    .visible .entry k(.param .u64 out) { .reg .b64 %x<2>; .reg .b32 %r<2>; ld.param.u64 %x0, [out];\n\
    { .param .b32 r; call (r), seven, (); ld.param.b32 %r0, [r]; } ld.global.u32 %r1, [more]; add.u32 %r0, %r0, %r1;\n\
    st.global.u32 [%x0], %r0; ret; }\n";
const CALLED: &str =
    ".visible .global .u32 more = 35;\n.visible .func (.param .b32 r) seven() { st.param.b32 [r], 7; ret; }\n";

fn add(link: Handle, text: &str) -> i32 {
    let text = format!("{HEAD}{text}\0");
    let image = Image::from(text.as_bytes());
    // SAFETY: as many bytes as are said, and no options.
    let code = unsafe {
        cuda_emulator::driver::cuLinkAddData_v2(link, 1, image, text.len(), Text::from(c"part"), 0, In::NULL, In::NULL)
    };
    code.0 as i32
}

pub(crate) const CASES: &[Case] = &[
    ("library_has_kernels", |log| {
        let (mut library, mut count, mut kernel, mut function) = (NULL, 0, NULL, NULL);
        let image = faults();
        quiet!(cuLibraryLoadData(
            Out::from(&mut library),
            Image::from(image.as_slice()),
            In::NULL,
            Out::NULL,
            0,
            In::NULL,
            In::NULL,
            0
        ));
        quiet!(cuLibraryGetKernelCount(Out::from(&mut count), library));
        let mut all = vec![NULL; count as usize];
        quiet!(cuLibraryEnumerateKernels(Out::from(&mut all[0]), count, library));
        quiet!(cuLibraryGetKernel(Out::from(&mut kernel), library, Text::from(c"static_16384")));
        log.say("it is one of them", all.contains(&kernel));
        quiet!(cuKernelGetFunction(Out::from(&mut function), kernel));
        let (mut name, mut shared, mut dynamic, mut of) = (Static::NULL, 0, 0, NULL);
        quiet!(cuKernelGetName(Out::from(&mut name), kernel));
        log.say("name", name.read().unwrap());
        quiet!(cuKernelGetAttribute(Out::from(&mut shared), 1, kernel, 0));
        quiet!(cuKernelSetAttribute(8, 65536, kernel, 0));
        quiet!(cuFuncGetAttribute(Out::from(&mut dynamic), 8, function));
        log.say("shared memory", json!([shared, dynamic]));
        quiet!(cuKernelGetLibrary(Out::from(&mut of), kernel));
        log.say("of the library", of == library);
        let (mut offset, mut size) = (9usize, 9usize);
        quiet!(cuLibraryGetKernel(Out::from(&mut kernel), library, Text::from(c"store")));
        quiet!(cuKernelGetParamInfo(kernel, 1, Out::from(&mut offset), Out::from(&mut size)));
        log.say("second parameter", json!([offset, size]));
        call!(log, cuKernelGetParamInfo(kernel, 2, Out::from(&mut offset), Out::from(&mut size)), "of the third");
        call!(log, cuKernelGetAttribute(Out::from(&mut shared), 1, NULL, 0), "of null");
        call!(log, cuLibraryGetKernel(nowhere(), library, Text::from(c"nothing")), "of another name");
    }),
    ("link_of_two_texts", |log| {
        let (mut link, mut image, mut size, mut module, mut function) = (NULL, 0usize, 0usize, NULL, NULL);
        quiet!(cuLinkCreate_v2(0, In::NULL, Out::NULL, Out::from(&mut link)));
        log.say("parts", json!([add(link, CALLER), add(link, CALLED)]));
        quiet!(cuLinkComplete(link, Out::from(&mut image), Out::from(&mut size)));
        // SAFETY: the driver gave so many bytes, of which the last is a zero.
        let bytes = unsafe { std::slice::from_raw_parts(image as *const u8, size) };
        log.say("it ends", CStr::from_bytes_with_nul(bytes).is_ok());
        quiet!(cuModuleLoadData(Out::from(&mut module), Image::from(bytes)));
        quiet!(cuLinkDestroy(link));
        quiet!(cuModuleGetFunction(Out::from(&mut function), module, Text::from(c"k")));
        let device = log.alloc(8);
        log.launch_function(function).with(device).run();
        let mut word = [0u32];
        quiet!(cuMemcpyDtoH_v2(Client::from(word.as_mut_slice()), device, 4));
        log.say("word", word[0]);
        call!(log, cuLinkComplete(link, Out::from(&mut image), Out::from(&mut size)), "destroyed");
    }),
    ("link_of_what_is_no_ptx", |log| {
        let mut text = vec![0u8; 256];
        // an error log and the bytes that there are for it
        let numbers = [5u32, 6];
        let mut values = [text.as_mut_ptr() as usize, text.len()];
        let (mut link, mut image, mut size) = (NULL, 0usize, 0usize);
        let place = Out::from(&mut values[0]);
        quiet!(cuLinkCreate_v2(2, In::from(numbers.as_slice()), place, Out::from(&mut link)));
        call!(log, cuLinkComplete(link, Out::from(&mut image), Out::from(&mut size)), "of nothing");
        log.say("code", add(link, ".visible .entry k( { ret; }"));
        let said = CStr::from_bytes_until_nul(&text).unwrap().to_string_lossy().into_owned();
        log.say("log", said.contains("line 4"));
        let name = CString::new("a cubin").unwrap();
        let text = Text::from(name.as_c_str());
        call!(
            log,
            cuLinkAddData_v2(link, 0, Image::from(b"\x7fELF".as_slice()), 4, text, 0, In::NULL, In::NULL),
            "binary"
        );
        call!(log, cuLinkAddFile_v2(link, 1, Text::from(c"/nowhere"), 0, In::NULL, In::NULL));
        call!(log, cuLinkDestroy(NULL), "null");
    }),
];

fn ran(name: &str) -> Value {
    let output = child(name, &Settings { sm: 90, seed: 1, more: &[] });
    let answers = output.answers.unwrap_or_else(|| panic!("{}", output.said));
    answers.into_iter().filter(|answer| answer[0] != "cuLaunchKernel").collect()
}

#[test]
fn a_library_tells_of_its_kernels() {
    assert_eq!(
        ran("library_has_kernels"),
        json!([
            ["it is one of them", true],
            ["name", "static_16384"],
            ["shared memory", [16384, 65536]],
            ["of the library", true],
            ["second parameter", [8, 4]],
            ["cuKernelGetParamInfo of the third", 1],
            ["cuKernelGetAttribute of null", 400],
            ["cuLibraryGetKernel of another name", 500]
        ])
    );
}

#[test]
fn texts_are_linked_to_one() {
    assert_eq!(
        ran("link_of_two_texts"),
        json!([["parts", [0, 0]], ["it ends", true], ["word", 42], ["cuLinkComplete destroyed", 400]])
    );
    assert_eq!(
        ran("link_of_what_is_no_ptx"),
        json!([
            ["cuLinkComplete of nothing", 1],
            ["code", 218],
            ["log", true],
            ["cuLinkAddData_v2 binary", 209],
            ["cuLinkAddFile_v2", 301],
            ["cuLinkDestroy null", 400]
        ])
    );
}
