//! Cooperative launches: blocks that wait for all others, as `cooperative_groups::grid_group::sync` is compiled. A case in a process of its own.

use cuda_emulator::driver::pointer::{Client, Image, Out, Text};
use serde_json::{Value, json};

use crate::log::{HEAD, NULL, call, quiet};
use crate::{Case, Settings, child};

/// Each block leaves its number, waits for all, and adds its neighbour's.
const KERNEL: &str = ".visible .entry k(.param .u64 out) { .reg .b64 %x<8>; .reg .b32 %r<16>; .reg .pred %p<4>;\n\
    ld.param.u64 %x0, [out]; mov.u32 %r0, %ctaid.x; mul.wide.u32 %x1, %r0, 4; add.u64 %x2, %x0, %x1; mov.u32 %r1, %nctaid.x;\n\
    mov.u32 %r2, %tid.x; setp.ne.u32 %p0, %r2, 0; @!%p0 st.global.u32 [%x2], %r0; bar.sync 0;\n\
    mov.u32 %r3, %envreg2; mov.u32 %r4, %envreg1; cvt.u64.u32 %x3, %r3; cvt.u64.u32 %x4, %r4; bfi.b64 %x5, %x4, %x3, 32, 32;\n\
    setp.ne.s64 %p1, %x5, 0; @%p1 bra THERE; trap;\n\
    THERE: @%p0 bra ALL; setp.eq.u32 %p2, %r0, 0; mov.u32 %r5, -2147483647; sub.s32 %r5, %r5, %r1; selp.b32 %r6, %r5, 1, %p2;\n\
    atom.add.release.gpu.u32 %r7, [%x5+4], %r6;\n\
    SPIN: ld.acquire.gpu.u32 %r8, [%x5+4]; xor.b32 %r9, %r8, %r7; setp.gt.s32 %p3, %r9, -1; @%p3 bra SPIN;\n\
    ALL: bar.sync 0; @%p0 bra END; add.u32 %r10, %r0, 1; rem.u32 %r10, %r10, %r1; mul.wide.u32 %x6, %r10, 4; add.u64 %x7, %x0, %x6;\n\
    ld.global.u32 %r11, [%x7]; add.u32 %r11, %r11, %r0; mul.wide.u32 %x6, %r1, 4; add.u64 %x7, %x2, %x6; st.global.u32 [%x7], %r11; END: ret; }\n";

pub(crate) const CASES: &[Case] = &[("grid_waits_for_all", |log| {
    let (mut module, mut function) = (NULL, NULL);
    let text = format!("{HEAD}{KERNEL}\0");
    quiet!(cuModuleLoadData(Out::from(&mut module), Image::from(text.as_bytes())));
    quiet!(cuModuleGetFunction(Out::from(&mut function), module, Text::from(c"k")));
    let device = log.alloc(64);
    for _ in 0..2 {
        log.launch_function(function).with(device).grid([8, 1, 1]).threads(64).cooperative().run();
    }
    let mut words = [0u32; 8];
    quiet!(cuMemcpyDtoH_v2(Client::from(words.as_mut_slice()), device + 32, 32));
    log.say("sums", json!(words));
    // blocks of another launch need not be there at once
    log.launch_function(function).with(device).grid([8, 1, 1]).threads(64).run();
    call!(log, cuCtxSynchronize());
})];

#[test]
fn blocks_of_a_cooperative_launch_wait_for_all_and_of_another_trap() {
    for seed in [0, 1, 2] {
        let output = child("grid_waits_for_all", &Settings { sm: 80, seed, more: &[] });
        let answers = output.answers.unwrap_or_else(|| panic!("{}", output.said));
        let told: Value =
            answers.into_iter().filter(|answer| !answer[0].as_str().unwrap().starts_with("cuLaunch")).collect();
        let sums: Vec<u32> = (0..8).map(|block| block + (block + 1) % 8).collect();
        assert_eq!(told, json!([["sums", sums], ["cuCtxSynchronize", 719]]), "{}", output.said);
    }
}
