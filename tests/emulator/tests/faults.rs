//! Every check catches a fault that was planted for it. The client gets the code that CUDA would give it, the operator an explanation on stderr
//! that names the kernel, the line and the thread. Each runs in a process of its own, for what it does to the device cannot be undone.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod client;

use client::{Card, Code, apart, ptx};

/// What waiting for a launch answers: buffers of 256 words, the first fresh, the second written.
fn outcome(body: &str, blocks: u32, threads: u32) -> Code {
    let card = Card::open();
    let kernel = card.kernel(&ptx("sm_80", body), "k").unwrap();
    let (out, given) = (card.allocate(1024).unwrap(), card.upload(&[7u32; 256]).unwrap());
    let parameters = [out.to_le_bytes().to_vec(), given.to_le_bytes().to_vec()];
    card.launch(kernel, [blocks, 1, 1], [threads, 1, 1], 0, &parameters).unwrap();
    let code = card.synchronize().err().unwrap_or(0);
    // what failed once fails always
    assert_eq!(card.allocate(16).err().unwrap_or(0), code);
    code
}

/// A fault in a kernel: its code, and words of the explanation.
#[track_caller]
fn caught(test: &str, body: &str, [blocks, threads]: [u32; 2], code: Code, words: &[&str]) {
    let Some(told) = apart(test, &[], || outcome(body, blocks, threads).to_string()) else { return };
    assert_eq!(told.printed, code.to_string(), "{}", told.explained);
    for word in words.iter().chain(&["cuda-emulator: ", "kernel k, line ", "block ("]) {
        assert!(told.explained.contains(word), "{word:?} is not in: {}", told.explained);
    }
}

const ILLEGAL_ADDRESS: Code = 700;
const TIMEOUT: Code = 702;
const MISALIGNED: Code = 716;
const LAUNCH_FAILED: Code = 719;

#[test]
fn what_is_right_is_no_fault() {
    let body = "ld.global.u32 %r4, [%x4]; st.shared.u32 [%r2], %r4; bar.sync 0; xor.b32 %r2, %r2, 64; ld.shared.u32 %r5, [%r2]; st.global.u32 [%x3], %r5;";
    assert_eq!(outcome(body, 1, 128), 0);
}

/// The last block to come adds up what all have left (CUDA C++ Programming Guide, "Memory Fence Functions"): ordered by a fence and an atomic,
/// and no race, whatever the order of blocks. The other warp of each block writes elsewhere meanwhile.
#[test]
fn the_last_block_may_read_what_all_wrote() {
    let body = "setp.ge.u32 %p0, %r0, 32; @%p0 bra OTHER; setp.ne.u32 %p1, %r0, 0; @%p1 bra END;\n\
        mul.wide.u32 %x5, %r1, 4; add.u64 %x6, %x0, %x5; st.global.u32 [%x6], %r1; membar.gl;\n\
        atom.global.add.u32 %r4, [%x1+1020], 1; mov.u32 %r5, %nctaid.x; add.u32 %r5, %r5, 6; setp.ne.u32 %p2, %r4, %r5; @%p2 bra END;\n\
        membar.gl; mov.u32 %r6, 0; mov.u32 %r7, 0;\n\
        SUM: mul.wide.u32 %x7, %r6, 4; add.u64 %x8, %x0, %x7; ld.global.u32 %r8, [%x8]; add.u32 %r7, %r7, %r8;\n\
        add.u32 %r6, %r6, 1; mov.u32 %r9, %nctaid.x; setp.lt.u32 %p3, %r6, %r9; @%p3 bra SUM; st.global.u32 [%x1+1016], %r7; bra END;\n\
        OTHER: mad.lo.u32 %r10, %r1, 32, %r0; and.b32 %r10, %r10, 1023; setp.ne.u32 %p4, %r0, 32; @%p4 bra END;\n\
        mul.wide.u32 %x9, %r1, 4; add.u64 %x10, %x1, %x9; st.global.u32 [%x10], %r10; END:";
    let card = Card::open();
    let kernel = card.kernel(&ptx("sm_80", body), "k").unwrap();
    for _ in 0..200 {
        let (out, given) = (card.allocate(1024).unwrap(), card.upload(&[7u32; 256]).unwrap());
        let parameters = [out.to_le_bytes().to_vec(), given.to_le_bytes().to_vec()];
        card.launch(kernel, [20, 1, 1], [64, 1, 1], 0, &parameters).unwrap();
        card.synchronize().unwrap();
        assert_eq!(card.download::<u32>(given + 1016, 1).unwrap(), [(0..20).sum::<u32>()]);
        [out, given].into_iter().for_each(|address| card.free(address).unwrap());
    }
}

/// Whose fence it is that stands behind the atomic: every warp fences before its block takes a ticket, as in NVIDIA's threadFenceReduction,
/// and the last block reads what all left. Without a fence behind the ticket that is a race whatever the order of warps; with one it is none.
#[track_caller]
fn by_ticket(test: &str, behind: &str, code: Code) {
    let body = format!(
        "setp.ne.u32 %p0, %r0, 0; mul.wide.u32 %x5, %r1, 4; add.u64 %x6, %x0, %x5; @!%p0 st.global.u32 [%x6], %r1; membar.gl;\n\
         @!%p0 atom.global.add.u32 %r4, [%x1+1020], 1; {behind} @!%p0 st.shared.u32 [tile], %r4; bar.sync 0; ld.shared.u32 %r4, [tile];\n\
         mov.u32 %r5, %nctaid.x; add.u32 %r5, %r5, 6; setp.ne.u32 %p1, %r4, %r5; setp.ge.u32 %p2, %r0, 8; or.pred %p1, %p1, %p2;\n\
         @!%p1 ld.global.u32 %r6, [%x3]; @!%p1 add.u32 %r6, %r6, 1; @!%p1 st.global.u32 [%x4], %r6;"
    );
    for drawn in ["0", "1", "2", "3", "4", "5", "6", "7"] {
        let Some(told) = apart(test, &[("CUDA_EMULATOR_SEED", drawn)], || outcome(&body, 8, 128).to_string()) else {
            return;
        };
        assert_eq!(told.printed, code.to_string(), "seed {drawn}: {}", told.explained);
    }
}

#[test]
fn a_fence_before_the_ticket_is_none_behind_it() {
    by_ticket("a_fence_before_the_ticket_is_none_behind_it", "", LAUNCH_FAILED);
}

#[test]
fn a_fence_behind_the_ticket_orders() {
    by_ticket("a_fence_behind_the_ticket_orders", "membar.gl;", 0);
}

/// Blocks that add in turn, as a serial split-K does: each waits for its turn, adds to what those before left, and hands on. `wait` reads the
/// turn into %r4, `hand` gives it to the next.
fn in_turn(wait: &str, hand: &str) {
    let body = format!(
        "setp.ne.u32 %p0, %r0, 0; @%p0 bra END;\n\
         SPIN: {wait} setp.ne.u32 %p1, %r4, %r1; @%p1 bra SPIN;\n\
         ld.global.u32 %r5, [%x0+64]; add.u32 %r5, %r5, %r1; add.u32 %r5, %r5, 1; st.global.u32 [%x0+64], %r5;\n\
         {hand} END:"
    );
    let card = Card::open();
    let kernel = card.kernel(&ptx("sm_80", &body), "k").unwrap();
    for blocks in [2, 3, 7] {
        let (out, given) = (card.upload(&[0u32; 256]).unwrap(), card.upload(&[0u32; 256]).unwrap());
        let parameters = [out.to_le_bytes().to_vec(), given.to_le_bytes().to_vec()];
        card.launch(kernel, [blocks, 1, 1], [32, 1, 1], 0, &parameters).unwrap();
        card.synchronize().unwrap();
        assert_eq!(card.download::<u32>(out + 64, 1).unwrap(), [(1..=blocks).sum::<u32>()], "{blocks} blocks");
        [out, given].into_iter().for_each(|address| card.free(address).unwrap());
    }
}

#[test]
fn blocks_that_add_in_turn_are_no_race() {
    in_turn("ld.acquire.gpu.global.u32 %r4, [%x1];", "red.release.gpu.global.add.u32 [%x1], 1;");
    in_turn("ld.acquire.gpu.global.u32 %r4, [%x1];", "add.u32 %r6, %r1, 1; st.release.gpu.global.u32 [%x1], %r6;");
    in_turn(
        "ld.volatile.global.u32 %r4, [%x1]; membar.gl;",
        "membar.gl; add.u32 %r6, %r1, 1; st.volatile.global.u32 [%x1], %r6;",
    );
}

/// Without an order between them: the third block knows of one of two readers only.
#[test]
fn blocks_that_add_in_no_order_are_a_race() {
    let body = "setp.ne.u32 %p0, %r0, 0; @%p0 bra END; ld.global.u32 %r5, [%x1+64]; add.u32 %r5, %r5, 1; st.global.u32 [%x1+64], %r5; END:";
    caught("blocks_that_add_in_no_order_are_a_race", body, [3, 32], LAUNCH_FAILED, &["race"]);
}

#[test]
fn out_of_bounds() {
    let words = ["out of bounds", "past the end of an allocation of 1024", "thread (0, 0, 0)", "st.global.u32"];
    caught("out_of_bounds", "st.global.u32 [%x3+1024], %r0;", [1, 32], ILLEGAL_ADDRESS, &words);
}

#[test]
fn out_of_bounds_of_shared_memory() {
    let body = "add.u32 %r2, %r2, 1000; st.shared.u32 [%r2], %r0;";
    caught("out_of_bounds_of_shared_memory", body, [1, 32], ILLEGAL_ADDRESS, &["out of bounds", "thread (6, 0, 0)"]);
}

#[test]
fn misaligned() {
    let words = ["misaligned: 4 bytes", "thread (0, 0, 0)"];
    caught("misaligned", "st.global.u32 [%x3+2], %r0;", [1, 32], MISALIGNED, &words);
}

#[test]
fn use_after_free() {
    let act = || {
        let card = Card::open();
        let kernel = card.kernel(&ptx("sm_80", "ld.global.u32 %r4, [%x4]; st.global.u32 [%x3], %r4;"), "k").unwrap();
        let (out, given) = (card.allocate(1024).unwrap(), card.upload(&[7u32; 256]).unwrap());
        card.free(given).unwrap();
        card.upload(&[8u32; 256]).unwrap(); // no address is given twice
        let parameters = [out.to_le_bytes().to_vec(), given.to_le_bytes().to_vec()];
        card.launch(kernel, [1; 3], [32, 1, 1], 0, &parameters).unwrap();
        card.synchronize().unwrap_err().to_string()
    };
    let Some(told) = apart("use_after_free", &[], act) else { return };
    assert_eq!(told.printed, "700", "{}", told.explained);
    assert!(told.explained.contains("inside 1024 bytes") && told.explained.contains("freed"), "{}", told.explained);
}

#[test]
fn unwritten_global_memory() {
    let body = "ld.global.u32 %r4, [%x3]; add.u32 %r4, %r4, 1; st.global.u32 [%x3], %r4;";
    caught("unwritten_global_memory", body, [1, 32], LAUNCH_FAILED, &["unwritten: read of 4 bytes"]);
}

#[test]
fn unwritten_shared_memory() {
    let body = "ld.shared.u32 %r4, [%r2]; add.u32 %r4, %r4, 1; st.global.u32 [%x3], %r4;";
    caught("unwritten_shared_memory", body, [1, 32], LAUNCH_FAILED, &["unwritten", "shared memory"]);
}

#[test]
fn a_race_of_a_read_after_a_write() {
    let body = "st.shared.u32 [%r2], 0; xor.b32 %r4, %r2, 128; bar.sync 0;\n\
        setp.lt.u32 %p0, %r0, 32; @%p0 st.shared.u32 [%r2], 5; @!%p0 ld.shared.u32 %r5, [%r4];";
    let Some(told) = apart("a_race_of_a_read_after_a_write", &[], || outcome(body, 1, 64).to_string()) else { return };
    assert_eq!(told.printed, "719", "{}", told.explained);
    // whichever warp comes first
    let found =
        told.explained.contains("wrote it, and no barrier") || told.explained.contains("read it, and no barrier");
    assert!(found, "{}", told.explained);
}

#[test]
fn a_race_of_an_exchange_in_place() {
    // each reads its neighbour's and writes its own: the neighbour may not have read it yet
    let body = "st.shared.u32 [%r2], %r0; bar.sync 0; xor.b32 %r4, %r2, 128; ld.shared.u32 %r5, [%r4];\n\
        add.u32 %r5, %r5, 1000; bar.warp.sync 0xffffffff; st.shared.u32 [%r2], %r5;";
    caught("a_race_of_an_exchange_in_place", body, [1, 64], LAUNCH_FAILED, &["race", "no barrier stands between"]);
}

#[test]
fn a_race_of_a_write_after_a_read() {
    // only one warp reads, and only the other writes; the reader comes first, for the writer waits for its flag
    let body = "st.shared.u32 [%r2], %r0; bar.sync 0; setp.lt.u32 %p0, %r0, 32; @!%p0 bra WRITER;\n\
        ld.shared.u32 %r5, [%r2+128]; st.volatile.shared.u32 [tile+512], %r5; bra END;\n\
        WRITER: ld.volatile.global.u32 %r6, [%x1]; mov.u32 %r7, 0;\n\
        SPIN: add.u32 %r7, %r7, 1; setp.lt.u32 %p1, %r7, 20000; @%p1 bra SPIN; st.shared.u32 [%r2], %r7; END:";
    caught("a_race_of_a_write_after_a_read", body, [1, 64], LAUNCH_FAILED, &["race: write", "read it, and no barrier"]);
}

#[test]
fn a_missing_syncwarp() {
    let body = "st.shared.u32 [%r2], %r0; xor.b32 %r2, %r2, 4; ld.shared.u32 %r4, [%r2]; st.global.u32 [%x3], %r4;";
    caught("a_missing_syncwarp", body, [1, 32], LAUNCH_FAILED, &["race", "warp 0 lane"]);
}

#[test]
fn a_race_between_blocks() {
    let body = "setp.eq.u32 %p0, %r1, 0; @%p0 st.global.u32 [%x3], 5; @!%p0 st.global.u32 [%x3], 6;";
    caught("a_race_between_blocks", body, [2, 32], LAUNCH_FAILED, &["race between blocks", "in this launch"]);
}

#[test]
fn a_read_of_what_another_block_writes() {
    let body = "setp.eq.u32 %p0, %r1, 0; @%p0 st.global.u32 [%x4], 5; @!%p0 ld.global.u32 %r4, [%x4]; @!%p0 st.global.u32 [%x3], %r4;";
    caught(
        "a_read_of_what_another_block_writes",
        body,
        [2, 32],
        LAUNCH_FAILED,
        &["race between blocks", "it in this launch"],
    );
}

#[test]
fn a_plain_write_of_what_other_blocks_count() {
    let body = "setp.eq.u32 %p0, %r1, 0; @%p0 st.global.u32 [%x1], 0; atom.global.add.u32 %r4, [%x1], 1;";
    let Some(told) = apart("a_plain_write_of_what_other_blocks_count", &[("CUDA_EMULATOR_SEED", "0")], || {
        outcome(body, 2, 1).to_string()
    }) else {
        return;
    };
    assert_eq!(told.printed, "719", "{}", told.explained);
}

#[test]
fn writes_to_constants() {
    let text = |write: &str| {
        format!(
            ".version 7.8\n.target sm_80\n.address_size 64\n.const .u32 c = 7;\n.visible .entry k(.param .u64 out, .param .u64 in)\n\
        {{ .reg .b64 %x; .reg .b32 %r; mov.u64 %x, c; {write} ret; }}\n"
        )
    };
    for (seed, write) in [("1", "st.global.u32 [%x], 1;"), ("2", "atom.global.add.u32 %r, [%x], 1;")] {
        let act = || {
            let card = Card::open();
            // in the other process the seed says which of the two it is
            let write = if std::env::var("CUDA_EMULATOR_SEED").is_ok_and(|seed| seed == "2") {
                "atom.global.add.u32 %r, [%x], 1;"
            } else {
                write
            };
            let kernel = card.kernel(&text(write), "k").unwrap();
            card.launch(kernel, [1; 3], [1; 3], 0, &[vec![0; 8], vec![0; 8]]).unwrap();
            card.synchronize().unwrap_err().to_string()
        };
        let Some(told) = apart("writes_to_constants", &[("CUDA_EMULATOR_SEED", seed)], act) else { return };
        assert_eq!(told.printed, "700", "{}", told.explained);
        assert!(told.explained.contains("in constant memory"), "{}", told.explained);
    }
}

#[test]
fn unwritten_local_memory() {
    let body = ".local .align 16 .b8 stack[64]; st.local.u32 [stack], %r0; ld.local.u32 %r4, [stack+4]; add.u32 %r4, %r4, 1; st.global.u32 [%x3], %r4;";
    caught("unwritten_local_memory", body, [1, 32], LAUNCH_FAILED, &["local memory", "nothing has written"]);
}

#[test]
fn constant_loads_of_written_memory() {
    let body = "st.global.u32 [%x3], %r0; ld.global.nc.u32 %r4, [%x3]; st.global.u32 [%x3+512], %r4;";
    caught("constant_loads_of_written_memory", body, [1, 32], LAUNCH_FAILED, &["constant path"]);
}

#[test]
fn a_divergent_barrier() {
    let body = "setp.lt.u32 %p0, %r0, 7; @%p0 bra LOW; bar.sync 0; bra END; LOW: bar.sync 0; END:";
    caught("a_divergent_barrier", body, [1, 32], TIMEOUT, &["divergent", "lanes 0000007f"]);
}

#[test]
fn a_barrier_that_some_never_reach() {
    let body = "setp.lt.u32 %p0, %r0, 32; @%p0 bar.sync 1, 96;";
    caught("a_barrier_that_some_never_reach", body, [1, 64], TIMEOUT, &["deadlock: barrier 1 has 32 of 96 threads"]);
}

#[test]
fn a_shuffle_that_lanes_never_reach() {
    let body = "setp.lt.u32 %p0, %r0, 7; @%p0 shfl.sync.bfly.b32 %r4, %r0, 1, 31, 0xffffffff; bar.sync 0;";
    caught("a_shuffle_that_lanes_never_reach", body, [1, 32], TIMEOUT, &["divergent", "shfl.sync.bfly.b32"]);
}

#[test]
fn an_early_read_of_a_copy() {
    let body = "shl.b32 %r3, %r0, 4; mov.u32 %r2, tile; add.u32 %r2, %r2, %r3; mul.wide.u32 %x2, %r0, 16; add.u64 %x4, %x1, %x2;\n\
        cp.async.cg.shared.global [%r2], [%x4], 16; cp.async.commit_group; ld.shared.u32 %r4, [%r2]; st.global.u32 [%x3], %r4;";
    caught("an_early_read_of_a_copy", body, [1, 32], LAUNCH_FAILED, &["too early", "cp.async"]);
}

#[test]
fn a_copy_that_only_its_thread_waited_for() {
    let body = "shl.b32 %r3, %r0, 4; mov.u32 %r2, tile; add.u32 %r2, %r2, %r3; mul.wide.u32 %x2, %r0, 16; add.u64 %x4, %x1, %x2;\n\
        cp.async.cg.shared.global [%r2], [%x4], 16; cp.async.wait_all; xor.b32 %r2, %r2, 16; ld.shared.u32 %r4, [%r2]; st.global.u32 [%x3], %r4;";
    caught("a_copy_that_only_its_thread_waited_for", body, [1, 32], LAUNCH_FAILED, &["race", "no barrier"]);
}

#[test]
fn a_trap() {
    caught("a_trap", "trap;", [1, 32], LAUNCH_FAILED, &["trapped"]);
}

#[test]
fn a_missing_synchronisation_with_a_stream() {
    let act = || {
        let card = Card::open();
        let address = card.upload(&[7u32]).unwrap();
        let [early, late] = card.read_early_and_late(address).unwrap();
        format!("{} {late}", early == 7)
    };
    let Some(told) = apart("a_missing_synchronisation_with_a_stream", &[], act) else { return };
    assert_eq!(told.printed, "false 7");
}

#[test]
fn a_leak_at_the_end_of_the_context() {
    let act = || {
        let card = Card::open();
        let kernel = card.kernel(&ptx("sm_80", ""), "k").unwrap();
        let kept = card.allocate(1000).unwrap();
        let freed = card.allocate(2000).unwrap();
        card.free(freed).unwrap();
        card.unload(kernel).unwrap();
        assert_ne!(kept, freed);
        card.close().to_string()
    };
    let Some(told) = apart("a_leak_at_the_end_of_the_context", &[], act) else { return };
    assert_eq!(told.printed, "0");
    assert!(told.explained.contains("leak") && told.explained.contains("1000"), "{}", told.explained);
    assert!(!told.explained.contains("2000"), "{}", told.explained);
}

/// A device with a planted fault: what allocating and launching twice answers.
fn planted(test: &str, fault: &str) -> Option<client::Told> {
    apart(test, &[("CUDA_EMULATOR_FAULT", fault)], || {
        let card = Card::open();
        let kernel = card.kernel(&ptx("sm_80", "st.global.u32 [%x3], %r0;"), "k").unwrap();
        let mut codes = Vec::new();
        let mut code = |answer: Result<(), Code>| codes.push(answer.err().unwrap_or(0).to_string());
        let out = card.allocate(1024).unwrap();
        code(card.allocate(1024).map(|_| ()));
        code(card.allocate(1024).map(|_| ()));
        for _ in 0..2 {
            let launched = card.launch(kernel, [1; 3], [32, 1, 1], 0, &[out.to_le_bytes().to_vec(), vec![0; 8]]);
            code(launched.and_then(|()| card.synchronize()));
        }
        code(card.allocate(1024).map(|_| ()));
        codes.join(" ")
    })
}

#[test]
fn out_of_memory_once() {
    let Some(told) = planted("out_of_memory_once", "oom:2") else { return };
    assert_eq!(told.printed, "2 0 0 0 0", "{}", told.explained);
}

#[test]
fn out_of_memory_in_earnest() {
    let card = Card::open();
    assert_eq!(card.allocate(1 << 50), Err(2));
    assert!(card.allocate(1 << 20).is_ok());
}

#[test]
fn a_kernel_that_fails() {
    let Some(told) = planted("a_kernel_that_fails", "kernel:2") else { return };
    assert_eq!(told.printed, "0 0 0 700 700", "{}", told.explained);
}

#[test]
fn a_lost_device() {
    let Some(told) = planted("a_lost_device", "lost:1") else { return };
    let codes: Vec<&str> = told.printed.split(' ').collect();
    assert_eq!(codes[..2], ["0", "0"]);
    assert!(codes[2] != "0" && codes[2..].iter().all(|code| *code == codes[2]), "{}", told.printed);
    assert!(told.explained.contains("lost"), "{}", told.explained);
}
