//! `mbarrier`: patterns that are right pass whatever the order of warps, and each misuse and each wait in vain is found. Faults run in processes
//! of their own, for what they do to the device cannot be undone.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod client;

use client::{Card, Code, apart, ptx};

/// What waiting for a launch answers, and the first buffer, of 256 zeros; the second has the numbers from 0 on.
fn run(body: &str, target: &str, threads: u32) -> Result<Vec<u32>, Code> {
    let card = Card::open();
    let kernel = card.kernel(&ptx(target, body).replace(".version 7.8", ".version 8.0"), "k")?;
    let (out, given) = (card.upload(&[0u32; 256])?, card.upload(&(0..256).collect::<Vec<u32>>())?);
    let parameters = [out.to_le_bytes().to_vec(), given.to_le_bytes().to_vec()];
    card.launch(kernel, [1; 3], [threads, 1, 1], 0, &parameters)?;
    card.synchronize()?;
    let values = card.download(out, 256)?;
    card.unload(kernel)?;
    [out, given].into_iter().try_for_each(|address| card.free(address))?;
    Ok(values)
}

/// The barrier of the tests lies behind the first 512 bytes of the tile.
const INIT: &str = "mov.u32 %r10, tile; add.u32 %r10, %r10, 512; mov.u32 %r11, %ntid.x; setp.eq.u32 %p0, %r0, 0;\n\
    @%p0 mbarrier.init.shared.b64 [%r10], %r11; st.shared.u32 [%r2], 9; bar.sync 0;\n";

/// Waits for the token in %x8.
const WAIT: &str = "WAIT: mbarrier.test_wait.shared.b64 %p1, [%r10], %x8; @!%p1 bra WAIT;\n";

/// Each thread takes what the thread of the next warp but one left, by way of the tile.
const TAKE: &str = "xor.b32 %r5, %r2, 132; ld.shared.u32 %r6, [%r5]; st.global.u32 [%x3], %r6;\n";

/// On the card of a test's process, sm_80 where nothing else is said; each launch draws another order.
#[track_caller]
fn right(body: &str, target: &str, threads: u32, expected: impl Fn(u32) -> u32) {
    for _ in 0..8 {
        let values = run(body, target, threads).unwrap();
        let expected: Vec<u32> = (0..256).map(|at| if at < threads { expected(at) } else { 0 }).collect();
        assert_eq!(values, expected);
    }
}

/// In a process whose card is of sm_90.
#[track_caller]
fn on_hopper(test: &str, act: impl FnOnce()) {
    let act = || {
        act();
        String::new()
    };
    apart(test, &[("CUDA_EMULATOR_SM", "90")], act);
}

/// A fault: its code, and words of the explanation.
#[track_caller]
fn caught(test: &str, body: &str, code: Code, words: &[&str]) {
    let act = || run(body, "sm_80", 64).err().unwrap_or(0).to_string();
    let Some(told) = apart(test, &[], act) else { return };
    assert_eq!(told.printed, code.to_string(), "{}", told.explained);
    for word in words.iter().chain(&["kernel k, line "]) {
        assert!(told.explained.contains(word), "{word:?} is not in: {}", told.explained);
    }
}

const TIMEOUT: Code = 702;
const LAUNCH_FAILED: Code = 719;

#[test]
fn who_waits_for_a_phase_sees_what_was_before_its_arrivals() {
    let body = format!("{INIT} st.shared.u32 [%r2], %r0; mbarrier.arrive.shared.b64 %x8, [%r10];\n{WAIT}{TAKE}");
    right(&body, "sm_80", 128, |at| at ^ 33);
}

#[test]
fn phases_follow_each_other_and_parities_name_them() {
    // a value is handed round four times
    let body = format!(
        "{INIT} mov.u32 %r12, 0; mov.u32 %r6, %r0;\n\
         TURN: st.shared.u32 [%r2], %r6; mbarrier.arrive.shared.b64 _, [%r10]; and.b32 %r13, %r12, 1;\n\
         WAIT: mbarrier.try_wait.parity.shared.b64 %p1, [%r10], %r13, 100; @!%p1 bra WAIT;\n\
         xor.b32 %r5, %r2, 132; ld.shared.u32 %r6, [%r5]; add.u32 %r6, %r6, 1000; bar.sync 0;\n\
         add.u32 %r12, %r12, 1; setp.lt.u32 %p2, %r12, 4; @%p2 bra TURN; st.global.u32 [%x3], %r6;"
    );
    on_hopper("phases_follow_each_other_and_parities_name_them", || right(&body, "sm_90", 128, |at| at + 4000));
}

/// Warp specialisation: one warp fills, by copies that arrive themselves, the others use, and give the stage back.
#[test]
fn a_warp_that_fills_and_warps_that_use_hand_stages_to_each_other() {
    let body = "mov.u32 %r10, tile; add.u32 %r10, %r10, 512; setp.eq.u32 %p0, %r0, 0;\n\
        @%p0 mbarrier.init.shared.b64 [%r10], 32; @%p0 mbarrier.init.shared.b64 [%r10+8], 3; bar.sync 0;\n\
        mov.u32 %r12, 0; mov.u32 %r7, 0; mov.u32 %r14, tile; setp.ge.u32 %p3, %r0, 32; @%p3 bra USE;\n\
        FILL: and.b32 %r13, %r12, 1; xor.b32 %r13, %r13, 1;\n\
        FREE: mbarrier.test_wait.parity.shared.b64 %p1, [%r10+8], %r13; @!%p1 bra FREE;\n\
        cp.async.ca.shared.global [%r2], [%x4], 4; cp.async.mbarrier.arrive.noinc.shared.b64 [%r10];\n\
        add.u64 %x4, %x4, 128; add.u32 %r12, %r12, 1; setp.lt.u32 %p2, %r12, 4; @%p2 bra FILL; bra END;\n\
        USE: and.b32 %r13, %r12, 1; and.b32 %r5, %r0, 31; shl.b32 %r5, %r5, 2; add.u32 %r5, %r14, %r5;\n\
        FULL: mbarrier.test_wait.parity.shared.b64 %p1, [%r10], %r13; @!%p1 bra FULL;\n\
        ld.shared.u32 %r6, [%r5]; add.u32 %r7, %r7, %r6; bar.warp.sync 0xffffffff;\n\
        and.b32 %r8, %r0, 31; setp.eq.u32 %p4, %r8, 0; @%p4 mbarrier.arrive.shared.b64 %x8, [%r10+8];\n\
        add.u32 %r12, %r12, 1; setp.lt.u32 %p2, %r12, 4; @%p2 bra USE;\n\
        END: st.global.u32 [%x3], %r7;";
    right(body, "sm_80", 128, |at| if at < 32 { 0 } else { 4 * (at % 32) + 32 + 64 + 96 });
}

#[test]
fn copies_arrive_when_they_have_landed() {
    let copy = "cp.async.ca.shared.global [%r2], [%x4], 4;";
    for arrive in [
        // what it adds to the phase it takes away again
        "cp.async.mbarrier.arrive.shared.b64 [%r10]; mbarrier.arrive.shared.b64 %x8, [%r10];",
        "cp.async.mbarrier.arrive.shared.b64 [%r10]; cp.async.wait_all; mbarrier.arrive.shared.b64 %x8, [%r10];",
    ] {
        right(&format!("{INIT} {copy} {arrive}\n{WAIT}{TAKE}"), "sm_80", 128, |at| at ^ 33);
    }
    let parity = "mov.u32 %r13, 0; WAIT: mbarrier.test_wait.parity.shared.b64 %p1, [%r10], %r13; @!%p1 bra WAIT;\n";
    let noinc = "cp.async.mbarrier.arrive.noinc.shared.b64 [%r10];";
    right(&format!("{INIT} {copy} {noinc}\n{parity}{TAKE}"), "sm_80", 128, |at| at ^ 33);
}

#[test]
fn who_drops_out_is_not_waited_for_any_more() {
    // the second warp takes part in the first phase only
    let body = format!(
        "{INIT} st.shared.u32 [%r2], %r0; setp.ge.u32 %p2, %r0, 32; @%p2 bra DROP;\n\
         mbarrier.arrive.shared.b64 %x8, [%r10];\n{WAIT} mbarrier.arrive.shared.b64 %x8, [%r10];\n\
         AGAIN: mbarrier.test_wait.shared.b64 %p1, [%r10], %x8; @!%p1 bra AGAIN;\n{TAKE} bra END;\n\
         DROP: mbarrier.arrive_drop.shared.b64 _, [%r10]; st.global.u32 [%x3], %r0; END:"
    );
    right(&body, "sm_80", 64, |at| if at < 32 { at ^ 33 } else { at });
}

#[test]
fn counts_of_several_and_of_what_is_missing() {
    let body = format!(
        "{INIT} mov.u32 %r4, 2; and.b32 %r5, %r0, 1; setp.eq.u32 %p2, %r5, 0; mov.u64 %x8, 0;\n\
         @%p2 mbarrier.arrive.noComplete.shared.b64 %x8, [%r10], 1; @!%p2 mbarrier.arrive.noComplete.shared.b64 %x8, [%r10], 1;\n\
         mbarrier.pending_count.b64 %r6, %x8; st.global.u32 [%x3], %r6;"
    );
    // the phase lacks one arrival
    let body = body.replace("mov.u32 %r11, %ntid.x;", "mov.u32 %r11, 129;");
    let mut seen = run(&body, "sm_80", 128).unwrap()[..128].to_vec();
    seen.sort_unstable();
    assert_eq!(seen, (2..=129).collect::<Vec<u32>>());
}

#[test]
fn bytes_are_waited_for_too() {
    let body = format!(
        "{INIT} st.shared.u32 [%r2], %r0; @%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r10], 512;\n\
         @%p0 mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%r10], 4; bar.sync 0;\n\
         @%p0 mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%r10], 4; bar.sync 0;\n\
         mbarrier.complete_tx.relaxed.cluster.shared::cluster.b64 [%r10], 4;\n\
         mbarrier.arrive.release.cta.shared::cta.b64 %x8, [%r10];\n{WAIT}{TAKE}"
    )
    .replace("mov.u32 %r11, %ntid.x;", "mov.u32 %r11, 129;");
    on_hopper("bytes_are_waited_for_too", || right(&body, "sm_90", 128, |at| at ^ 33));
}

#[test]
fn a_wait_in_vain() {
    let body = INIT.replace("mov.u32 %r11, %ntid.x;", "mov.u32 %r11, 65;")
        + &format!("mbarrier.arrive.shared.b64 %x8, [%r10];\n{WAIT}");
    caught("a_wait_in_vain", &body, TIMEOUT, &["hang", "lacks 1 arrivals in phase 0"]);
}

#[test]
fn a_wait_in_vain_behind_which_others_wait() {
    let body = INIT.to_owned()
        + &format!(
            "setp.lt.u32 %p2, %r0, 32; @!%p2 bra END; mbarrier.arrive.shared.b64 %x8, [%r10];\n{WAIT} END: bar.sync 0;"
        );
    caught("a_wait_in_vain_behind_which_others_wait", &body, TIMEOUT, &["hang", "lacks 32 arrivals"]);
}

#[test]
fn a_parity_that_is_the_wrong_one() {
    // the first phase has parity 0: with 1 nobody waits
    let body = format!(
        "{INIT} st.shared.u32 [%r2], %r0; mbarrier.arrive.shared.b64 %x8, [%r10]; mov.u32 %r13, 1;\n\
         WAIT: mbarrier.test_wait.parity.shared.b64 %p1, [%r10], %r13; @!%p1 bra WAIT;\n{TAKE}"
    );
    let Some(told) = apart("a_parity_that_is_the_wrong_one", &[("CUDA_EMULATOR_SEED", "3")], || {
        run(&body, "sm_80", 64).err().unwrap_or(0).to_string()
    }) else {
        return;
    };
    // it is over or not by the order of warps, and wrong either way
    assert!(["702", "719"].contains(&told.printed.as_str()), "{}: {}", told.printed, told.explained);
}

#[test]
fn an_arrival_that_nobody_waits_for() {
    let body = format!("{INIT} st.shared.u32 [%r2], %r0; mbarrier.arrive.shared.b64 %x8, [%r10];\n{TAKE}");
    caught("an_arrival_that_nobody_waits_for", &body, LAUNCH_FAILED, &["no barrier stands between"]);
}

#[test]
fn a_wait_that_is_not_asked_for_its_answer() {
    let body = format!(
        "{INIT} st.shared.u32 [%r2], %r0; mbarrier.arrive.shared.b64 %x8, [%r10];\n\
         mbarrier.test_wait.shared.b64 %p1, [%r10], %x8; {TAKE}"
    );
    let several = || (0..20).find_map(|_| run(&body, "sm_80", 64).err()).unwrap_or(0).to_string();
    let Some(told) = apart("a_wait_that_is_not_asked_for_its_answer", &[], several) else { return };
    assert_eq!(told.printed, "719", "{}", told.explained);
    assert!(told.explained.contains("no barrier stands between"), "{}", told.explained);
}

#[test]
fn a_write_behind_the_arrival() {
    let body = format!("{INIT} mbarrier.arrive.shared.b64 %x8, [%r10]; st.shared.u32 [%r2], %r0;\n{WAIT}{TAKE}");
    caught("a_write_behind_the_arrival", &body, LAUNCH_FAILED, &["no barrier stands between"]);
}

#[test]
fn an_arrival_for_a_warp_that_did_not_meet() {
    // lane 0 arrives for its warp, whose lanes need not be there yet
    let elected = "and.b32 %r8, %r0, 31; setp.eq.u32 %p4, %r8, 0; @%p4 mbarrier.arrive.shared.b64 %x8, [%r10];\n\
        mov.u32 %r13, 0; WAIT: mbarrier.test_wait.parity.shared.b64 %p1, [%r10], %r13; @!%p1 bra WAIT;\n";
    let init = INIT.replace("mov.u32 %r11, %ntid.x;", "mov.u32 %r11, 2;");
    let met = format!("{init} st.shared.u32 [%r2], %r0; bar.warp.sync 0xffffffff; {elected}{TAKE}");
    right(&met, "sm_80", 64, |at| at ^ 33);
    let body = met.replace("bar.warp.sync 0xffffffff;", "");
    caught("an_arrival_for_a_warp_that_did_not_meet", &body, LAUNCH_FAILED, &["no barrier stands between"]);
}

#[test]
fn a_copy_that_is_read_before_its_phase_is_over() {
    let body = format!(
        "{INIT} cp.async.ca.shared.global [%r2], [%x4], 4; cp.async.mbarrier.arrive.shared.b64 [%r10];\n\
         mbarrier.arrive.shared.b64 %x8, [%r10]; ld.shared.u32 %r6, [%r2];\n{WAIT} st.global.u32 [%x3], %r6;"
    );
    caught("a_copy_that_is_read_before_its_phase_is_over", &body, LAUNCH_FAILED, &["too early", "cp.async"]);
}

#[test]
fn an_mbarrier_that_was_not_initialised() {
    let body = "mov.u32 %r10, tile; mbarrier.arrive.shared.b64 %x8, [%r10];";
    caught("an_mbarrier_that_was_not_initialised", body, LAUNCH_FAILED, &["no mbarrier was initialised there"]);
}

#[test]
fn an_initialisation_without_a_barrier() {
    let body = format!("{INIT} mbarrier.arrive.shared.b64 %x8, [%r10];").replace("bar.sync 0;", "");
    let Some(told) =
        apart("an_initialisation_without_a_barrier", &[], || run(&body, "sm_80", 64).err().unwrap_or(0).to_string())
    else {
        return;
    };
    assert_eq!(told.printed, "719", "{}", told.explained);
    // whichever warp comes first
    let found = told.explained.contains("no barrier stands") || told.explained.contains("no mbarrier was initialised");
    assert!(found, "{}", told.explained);
}

#[test]
fn a_count_of_none() {
    let body = INIT.replace("mov.u32 %r11, %ntid.x;", "mov.u32 %r11, 0;");
    caught("a_count_of_none", &body, LAUNCH_FAILED, &["a count of 0"]);
}

#[test]
fn more_arrivals_than_are_expected() {
    let body = format!("{INIT} mov.u32 %r4, 65; @%p0 mbarrier.arrive.noComplete.shared.b64 %x8, [%r10], %r4;");
    caught("more_arrivals_than_are_expected", &body, LAUNCH_FAILED, &["65 arrive, and only 64 are missing"]);
}

#[test]
fn an_arrival_that_must_not_complete_and_does() {
    let body = format!("{INIT} mov.u32 %r4, 64; @%p0 mbarrier.arrive.noComplete.shared.b64 %x8, [%r10], %r4;");
    caught("an_arrival_that_must_not_complete_and_does", &body, LAUNCH_FAILED, &[".noComplete"]);
}

#[test]
fn a_token_of_an_old_phase() {
    let body = format!(
        "{INIT} mbarrier.arrive.shared.b64 %x8, [%r10]; mov.u64 %x9, %x8;\n{WAIT} mbarrier.arrive.shared.b64 %x8, [%r10];\n\
         AGAIN: mbarrier.test_wait.shared.b64 %p1, [%r10], %x8; @!%p1 bra AGAIN; mbarrier.test_wait.shared.b64 %p1, [%r10], %x9;"
    );
    caught("a_token_of_an_old_phase", &body, LAUNCH_FAILED, &["a token of phase 0, while phase 2"]);
}

#[test]
fn a_store_to_an_mbarrier() {
    let body = format!("{INIT} @%p0 st.shared.u32 [%r10+4], %r0;");
    caught("a_store_to_an_mbarrier", &body, LAUNCH_FAILED, &["an mbarrier is there"]);
    let freed = format!(
        "{INIT} @%p0 mbarrier.inval.shared.b64 [%r10]; @%p0 st.shared.u32 [%r10+4], 7; @%p0 ld.shared.u32 %r6, [%r10+4]; @%p0 st.global.u32 [%x3], %r6;"
    );
    assert_eq!(run(&freed, "sm_80", 64).map(|values| values[0]), Ok(7));
}

#[test]
fn an_mbarrier_that_is_no_more() {
    let body =
        format!("{INIT} @%p0 mbarrier.inval.shared.b64 [%r10]; bar.sync 0; mbarrier.arrive.shared.b64 %x8, [%r10];");
    caught("an_mbarrier_that_is_no_more", &body, LAUNCH_FAILED, &["no mbarrier was initialised there"]);
}

#[test]
fn an_mbarrier_that_ends_while_others_use_it() {
    let body = format!("{INIT} mbarrier.arrive.shared.b64 %x8, [%r10];\n{WAIT} @%p0 mbarrier.inval.shared.b64 [%r10];");
    caught("an_mbarrier_that_ends_while_others_use_it", &body, LAUNCH_FAILED, &["mbarrier"]);
}

#[test]
fn an_mbarrier_in_global_memory() {
    let body = "mbarrier.init.b64 [%x1], 32;";
    caught("an_mbarrier_in_global_memory", body, 700, &["not in shared memory"]);
}

#[test]
fn a_misaligned_mbarrier() {
    let body = format!("{INIT} @%p0 mbarrier.arrive.shared.b64 %x8, [%r10+4];");
    caught("a_misaligned_mbarrier", &body, 716, &["misaligned"]);
}
