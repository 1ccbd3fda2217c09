//! Instructions on vectors in memory and in registers, of which no card's answers were recorded: atomics on vectors, bytes of a word, conversions
//! that end at the greatest number. Expected values are from the PTX ISA's descriptions.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod client;

use client::{Card, apart, ptx};

/// The words of the first buffer, of zeros, after a launch of so many threads; the second has `given`.
fn run(target: &str, body: &str, threads: u32, given: &[u32]) -> Result<Vec<u32>, i32> {
    let card = Card::open();
    let text = ptx(target, body).replace(".version 7.8", ".version 8.1").replace(".version 6.5", ".version 8.1");
    let kernel = card.kernel(&text, "k")?;
    let (out, given) = (card.upload(&[0u32; 64])?, card.upload(given)?);
    card.launch(kernel, [1; 3], [threads, 1, 1], 0, &[out.to_le_bytes().to_vec(), given.to_le_bytes().to_vec()])?;
    card.synchronize()?;
    card.download(out, 64)
}

/// The same in a process whose card is of sm_90.
fn on_hopper(test: &str, body: &str, threads: u32) -> Option<String> {
    let act = || match run("sm_90", body, threads, &[0]) {
        Ok(words) => words.iter().map(u32::to_string).collect::<Vec<_>>().join(" "),
        Err(code) => format!("error {code}"),
    };
    Some(apart(test, &[("CUDA_EMULATOR_SM", "90")], act)?.printed)
}

#[test]
fn vectors_are_added_element_by_element() {
    // every lane adds 1, 2, 3 and 4 to one vector, and then in pairs what was there before to the next
    let body = "mov.f32 %f0, 0f3F800000; mov.f32 %f1, 0f40000000; mov.f32 %f2, 0f40400000; mov.f32 %f3, 0f40800000;\n\
        red.global.v4.f32.add [%x0], {%f0, %f1, %f2, %f3}; bar.sync 0; setp.ne.u32 %p0, %r0, 0; @%p0 ret;\n\
        atom.global.v2.f32.add {%f4, %f5}, [%x0+8], {%f0, %f0}; st.global.v2.f32 [%x0+32], {%f4, %f5};";
    let Some(words) = on_hopper("vectors_are_added_element_by_element", body, 32) else { return };
    let words: Vec<f32> = words.split(' ').map(|word| f32::from_bits(word.parse().unwrap())).collect();
    assert_eq!(words[..4], [32.0, 64.0, 97.0, 129.0]);
    assert_eq!(words[8..10], [96.0, 128.0]);
}

#[test]
fn halves_of_vectors_are_compared_and_added() {
    // 1 and -2 in halves; then the greatest of it and of 0.5 and 4
    let body = "mov.b32 %r4, 0xC0003C00; mov.b32 %r5, 0x44003800; setp.ne.u32 %p0, %r0, 0; @%p0 ret;\n\
        red.global.v2.f16x2.add.noftz [%x0], {%r4, %r4}; red.global.v2.f16x2.max.noftz [%x0], {%r5, %r4};\n\
        red.global.v2.bf16x2.min.noftz [%x0+16], {%r4, %r5};";
    let Some(words) = on_hopper("halves_of_vectors_are_compared_and_added", body, 32) else { return };
    let words: Vec<u32> = words.split(' ').map(|word| word.parse().unwrap()).collect();
    assert_eq!(words[..2], [0x4400_3C00, 0xC000_3C00]);
    // as bf16 the lower halves are positive
    assert_eq!(words[4..6], [0xC000_0000, 0]);
}

#[test]
fn vectors_lie_at_multiples_of_their_size() {
    let body = "red.global.v4.f32.add [%x0+8], {%f0, %f1, %f2, %f3};";
    let Some(words) = on_hopper("vectors_lie_at_multiples_of_their_size", body, 1) else { return };
    assert_eq!(words, "error 716");
}

#[test]
fn bytes_and_halves_of_a_word_are_taken_each_by_itself() {
    let body = "ld.global.u32 %r4, [%x1]; ld.global.u32 %r5, [%x1+4]; mov.u32 %r6, 1000;\n\
        vabsdiff4.u32.u32.u32.add %r7, %r4, %r5, %r6; st.global.u32 [%x0], %r7;\n\
        vabsdiff4.u32.u32.u32 %r7, %r4, %r5, %r6; st.global.u32 [%x0+4], %r7;\n\
        vadd4.s32.s32.s32.sat %r7, %r4, %r5, %r6; st.global.u32 [%x0+8], %r7;\n\
        vavrg4.u32.u32.u32 %r7, %r4, %r5, %r6; st.global.u32 [%x0+12], %r7;\n\
        vset4.u32.u32.lt %r7, %r4, %r5, %r6; st.global.u32 [%x0+16], %r7;\n\
        vmax2.s32.s32.s32 %r7, %r4, %r5, %r6; st.global.u32 [%x0+20], %r7;\n\
        vsub2.u32.u32.u32 %r7, %r4, %r5, %r6; st.global.u32 [%x0+24], %r7;";
    let words = run("sm_75", body, 1, &[0x7F_80_01_FF, 0x01_FF_05_03]).unwrap();
    assert_eq!(
        words[..7],
        [
            1000 + 0x7E + 0x7F + 4 + 0xFC,
            0x7E_7F_04_FC,
            0x7F_80_06_02,
            0x40_C0_03_81,
            0x00_01_01_00,
            0x7F80_0503,
            0x7D81_FCFC
        ]
    );
}

#[test]
fn what_is_too_large_becomes_the_greatest_number() {
    let body = "mul.wide.u32 %x5, %r0, 4; add.u64 %x6, %x1, %x5; ld.global.f32 %f0, [%x6]; .reg .b16 %h<4>;\n\
        cvt.rn.satfinite.f16.f32 %h0, %f0; cvt.rz.satfinite.relu.f16.f32 %h1, %f0; mov.b32 %r4, {%h0, %h1};\n\
        cvt.rn.satfinite.bf16x2.f32 %r5, %f0, %f0; cvt.rna.satfinite.tf32.f32 %r6, %f0;\n\
        mul.wide.u32 %x5, %r0, 16; add.u64 %x6, %x0, %x5; st.global.u32 [%x6], %r4; st.global.u32 [%x6+4], %r5; st.global.u32 [%x6+8], %r6;";
    let given = [1.0, 65519.0, 65520.0, -1e30, f32::INFINITY, f32::MAX, f32::NAN].map(f32::to_bits);
    let words = run("sm_80", body, given.len() as u32, &given).unwrap();
    let row = |at: usize| [words[4 * at], words[4 * at + 1], words[4 * at + 2]];
    assert_eq!(row(0), [0x3C00_3C00, 0x3F80_3F80, 0x3F80_0000]);
    assert_eq!(row(1)[0], 0x7BFF_7BFF);
    assert_eq!(row(2)[0], 0x7BFF_7BFF);
    assert_eq!(row(3)[0], 0x0000_FBFF);
    assert_eq!(row(4), [0x7BFF_7BFF, 0x7F7F_7F7F, 0x7F7F_E000]);
    assert_eq!(row(5), [0x7BFF_7BFF, 0x7F7F_7F7F, 0x7F7F_E000]);
    assert_eq!(row(6)[..2], [0x7FFF_7FFF, 0x7FFF_7FFF]);
}

/// Whole numbers, of which all sums are exact: e4m3 times e5m2, by the ISA's figures of who holds what.
#[test]
fn matrices_of_8_bits_are_multiplied() {
    // 0, 1, 2 and -1 in both formats
    let (first, second) = ([0x00u8, 0x38, 0x40, 0xB8], [0x00u8, 0x3C, 0x40, 0xBC]);
    let number = |at: usize| [0.0f32, 1.0, 2.0, -1.0][at];
    let (a, b) = (
        |row: usize, k: usize| (row * 7 + k * 3 + row * k) % 4,
        |k: usize, column: usize| (k + column * 5 + k / 3) % 4,
    );
    let mut words = Vec::new();
    for lane in 0..32 {
        let word = |at: &dyn Fn(usize) -> u8| u32::from_le_bytes(std::array::from_fn(at));
        for register in 0..4 {
            let (row, k) = (lane / 4 + 8 * (register % 2), lane % 4 * 4 + 16 * (register / 2));
            words.push(word(&|part| first[a(row, k + part)]));
        }
        for register in 0..2 {
            words.push(word(&|part| second[b(lane % 4 * 4 + 16 * register + part, lane / 4)]));
        }
    }
    let body = "mul.wide.u32 %x5, %r0, 24; add.u64 %x6, %x1, %x5; ld.global.v2.u32 {%r4, %r5}, [%x6]; ld.global.v2.u32 {%r6, %r7}, [%x6+8];\n\
        ld.global.v2.u32 {%r8, %r9}, [%x6+16]; mov.f32 %f0, 0f3F800000;\n\
        mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e5m2.f32 {%f1, %f2, %f3, %f4}, {%r4, %r5, %r6, %r7}, {%r8, %r9}, {%f0, %f0, %f0, %f0};\n\
        add.f32 %f1, %f1, %f2; add.f32 %f3, %f3, %f4; mul.wide.u32 %x5, %r0, 8; add.u64 %x6, %x0, %x5; st.global.v2.f32 [%x6], {%f1, %f3};";
    let act = || {
        let card = Card::open();
        let kernel = card.kernel(&ptx("sm_89", body).replace(".version 7.8", ".version 8.4"), "k").unwrap();
        let (out, given) = (card.upload(&[0f32; 64]).unwrap(), card.upload(&words).unwrap());
        let parameters = [out.to_le_bytes().to_vec(), given.to_le_bytes().to_vec()];
        card.launch(kernel, [1; 3], [32, 1, 1], 0, &parameters).unwrap();
        card.synchronize().unwrap();
        card.download::<f32>(out, 64).unwrap().iter().map(f32::to_string).collect::<Vec<_>>().join(" ")
    };
    let Some(told) = apart("matrices_of_8_bits_are_multiplied", &[("CUDA_EMULATOR_SM", "89")], act) else { return };
    let sum = |row: usize, column: usize| 1.0 + (0..32).map(|k| number(a(row, k)) * number(b(k, column))).sum::<f32>();
    let pair = |lane: usize, low: usize| sum(lane / 4 + low, lane % 4 * 2) + sum(lane / 4 + low, lane % 4 * 2 + 1);
    let expected: Vec<f32> = (0..32).flat_map(|lane| [pair(lane, 0), pair(lane, 8)]).collect();
    let got: Vec<f32> = told.printed.split(' ').map(|value| value.parse().unwrap()).collect();
    assert_eq!(got, expected);
}
