//! Kernels small enough to count by hand, and every count of them.

use std::collections::BTreeMap;

use cuda_emulator::count::{Class, Count, Element, Tile};

use crate::emulated::launched;

const HEADER: &str = ".version 7.0\n.target sm_75\n.address_size 64\n";

/// What a class did: executed, threads, requests, sectors, wavefronts, ideal wavefronts.
fn counts<const N: usize>(classes: [(Class, [u64; 6]); N]) -> BTreeMap<Class, Count> {
    let count = |[executed, threads, requests, sectors, wavefronts, ideal]: [u64; 6]| Count {
        executed,
        threads,
        requests,
        sectors,
        wavefronts,
        ideal,
    };
    classes.into_iter().map(|(class, numbers)| (class, count(numbers))).collect()
}

const COPY: &str = "
.visible .entry copy(.param .u64 out, .param .u64 in, .param .u32 n)
{
  .reg .pred %p;
  .reg .b32 %r<6>;
  .reg .b64 %x<4>;
  mov.u32 %r0, %tid.x;
  mov.u32 %r1, %ctaid.x;
  mov.u32 %r2, %ntid.x;
  mad.lo.u32 %r3, %r1, %r2, %r0;
  ld.param.u32 %r4, [n];
  setp.ge.u32 %p, %r3, %r4;
  @%p bra done;
  ld.param.u64 %x0, [in];
  ld.param.u64 %x1, [out];
  mad.wide.u32 %x2, %r3, 4, %x0;
  mad.wide.u32 %x3, %r3, 4, %x1;
  ld.global.u32 %r5, [%x2];
  st.global.u32 [%x3], %r5;
done:
  ret;
}";

/// 4 blocks of 256 threads copy 900 words. Of 32 warps 28 copy 32 words each, one copies 4, and three nothing: 29 warps copy, 28 of them
/// 4 sectors and one 1, in all 113. Before the branch there are 7 instructions for all 32 warps, 5 of them on integers; behind it 6 for 29
/// warps, 2 on integers. The branch is taken by 1024 − 900 = 124 threads; `ret` is executed by all 32 warps, each together again.
#[test]
fn a_copy() {
    let report = launched(&format!("{HEADER}{COPY}"), 75, "copy", [[4, 1, 1], [256, 1, 1]], 900);
    let expected = counts([
        (Class::Alu, [5 * 32 + 2 * 29, 5 * 1024 + 2 * 900, 0, 0, 0, 0]),
        (Class::Other, [32 + 2 * 29, 1024 + 2 * 900, 0, 0, 0, 0]),
        (Class::Branch, [2 * 32, 124 + 1024, 0, 0, 0, 0]),
        (Class::GlobalLoad, [29, 900, 29, 113, 0, 0]),
        (Class::GlobalStore, [29, 900, 29, 113, 0, 0]),
    ]);
    assert_eq!(report.totals, expected);
    assert_eq!((report.unique_read_bytes, report.unique_written_bytes), (113 * 32, 113 * 32));
}

const STRIDED: &str = "
.visible .entry strided(.param .u64 out, .param .u64 in, .param .u32 stride)
{
  .reg .b32 %r<7>;
  .reg .b64 %x<4>;
  mov.u32 %r0, %tid.x;
  mov.u32 %r1, %ctaid.x;
  mov.u32 %r2, %ntid.x;
  mad.lo.u32 %r3, %r1, %r2, %r0;
  ld.param.u32 %r4, [stride];
  ld.param.u64 %x0, [in];
  ld.param.u64 %x1, [out];
  mul.lo.u32 %r5, %r3, %r4;
  mad.wide.u32 %x2, %r5, 4, %x0;
  mad.wide.u32 %x3, %r3, 4, %x1;
  ld.global.u32 %r6, [%x2];
  st.global.u32 [%x3], %r6;
  ret;
}";

/// 4 warps read every third word: the lanes of a warp reach over 384 bytes, 12 sectors, and want a word of each. Of 16 words apart each lane
/// has two sectors to itself and touches one of them.
#[test]
fn a_strided_copy() {
    for (stride, sectors) in [(1, 4), (3, 12), (16, 32)] {
        let report = launched(&format!("{HEADER}{STRIDED}"), 75, "strided", [[2, 1, 1], [64, 1, 1]], stride);
        let expected = counts([
            (Class::Alu, [4 * 7, 128 * 7, 0, 0, 0, 0]),
            (Class::Other, [4 * 3, 128 * 3, 0, 0, 0, 0]),
            (Class::Branch, [4, 128, 0, 0, 0, 0]),
            (Class::GlobalLoad, [4, 128, 4, 4 * sectors, 0, 0]),
            (Class::GlobalStore, [4, 128, 4, 16, 0, 0]),
        ]);
        assert_eq!(report.totals, expected, "stride {stride}");
        assert_eq!((report.unique_read_bytes, report.unique_written_bytes), (4 * sectors * 32, 512));
    }
}

const TRANSPOSE: &str = "
.visible .entry transpose(.param .u64 out, .param .u64 in, .param .u32 unused)
{
  .reg .b32 %r<8>;
  .reg .b64 %x<4>;
  .shared .align 16 .b8 tile[1152];
  mov.u32 %r0, %tid.x;
  mov.u32 %r1, %tid.y;
  ld.param.u64 %x0, [in];
  ld.param.u64 %x1, [out];
  mad.lo.u32 %r2, %r1, 16, %r0;
  mad.wide.u32 %x2, %r2, 4, %x0;
  mad.wide.u32 %x3, %r2, 4, %x1;
  ld.global.u32 %r3, [%x2];
  mov.u32 %r4, tile;
  mad.lo.u32 %r5, %r1, PITCH, %r4;
  mad.lo.u32 %r5, %r0, 4, %r5;
  st.shared.u32 [%r5], %r3;
  bar.sync 0;
  mad.lo.u32 %r6, %r0, PITCH, %r4;
  mad.lo.u32 %r6, %r1, 4, %r6;
  ld.shared.u32 %r7, [%r6];
  st.global.u32 [%x3], %r7;
  ret;
}";

/// A tile of 16 × 16 words by one block of 8 warps, each of which has two rows, y and y + 1.
///
/// - Pitch 16: a warp stores 32 neighbouring words. It loads words 16x + y: an even x is in bank y, an odd one in 16 + y, so that 8 words want
///   each of four banks.
/// - Pitch 17: it stores words 17y to 17y + 15 and 17y + 17 to 17y + 32; the last is in the bank of the first. It loads words 17x + y, of
///   which x = 15 in row y + 1, 256 words behind x = 0 in row y, is in the bank of this.
/// - Pitch 18: it stores words 18y to 18y + 15 and 18y + 18 to 18y + 33; two wrap around. It loads words 18x + y: banks 2x + y, all different.
#[test]
fn a_transpose_without_and_with_padding() {
    for (pitch, stored, loaded) in [(16, 1, 8), (17, 2, 2), (18, 2, 1)] {
        let text = format!("{HEADER}{TRANSPOSE}").replace("PITCH", &(pitch * 4).to_string());
        let report = launched(&text, 75, "transpose", [[1, 1, 1], [16, 16, 1]], 0);
        let expected = counts([
            (Class::Alu, [8 * 10, 256 * 10, 0, 0, 0, 0]),
            (Class::Other, [8 * 2, 256 * 2, 0, 0, 0, 0]),
            (Class::Branch, [8, 256, 0, 0, 0, 0]),
            (Class::Barrier, [8, 256, 0, 0, 0, 0]),
            (Class::GlobalLoad, [8, 256, 8, 32, 0, 0]),
            (Class::GlobalStore, [8, 256, 8, 32, 0, 0]),
            (Class::SharedStore, [8, 256, 0, 0, 8 * stored, 8]),
            (Class::SharedLoad, [8, 256, 0, 0, 8 * loaded, 8]),
        ]);
        assert_eq!(report.totals, expected, "pitch {pitch}");
        assert_eq!((report.unique_read_bytes, report.unique_written_bytes), (1024, 1024));
    }
}

const TILE: &str = "
.visible .entry tile(.param .u64 out, .param .u64 in, .param .u32 unused)
{
  .reg .b32 %r<20>, %f<4>;
  .reg .b64 %x<4>;
  .shared .align 16 .b8 a[512];
  .shared .align 16 .b8 b[256];
  ld.param.u64 %x0, [in];
  ld.param.u64 %x1, [out];
  mov.u32 %r0, %tid.x;
  mov.u32 %r1, a;
  mov.u32 %r2, b;
  mad.wide.u32 %x2, %r0, 16, %x0;
  mad.lo.u32 %r3, %r0, 16, %r1;
  cp.async.cg.shared.global [%r3], [%x2], 16;
  mad.wide.u32 %x3, %r0, 8, %x0;
  mad.lo.u32 %r4, %r0, 8, %r2;
  cp.async.ca.shared.global [%r4], [%x3+512], 8;
  cp.async.commit_group;
  cp.async.wait_group 0;
  bar.sync 0;
  and.b32 %r5, %r0, 15;
  shr.u32 %r6, %r0, 4;
  mad.lo.u32 %r7, %r5, 32, %r1;
  mad.lo.u32 %r7, %r6, 16, %r7;
  ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r8, %r9, %r10, %r11}, [%r7];
  and.b32 %r5, %r0, 7;
  bfe.u32 %r6, %r0, 3, 1;
  mad.lo.u32 %r7, %r5, 32, %r2;
  mad.lo.u32 %r7, %r6, 16, %r7;
  ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%r12, %r13}, [%r7];
  mov.b32 %f0, 0;
  mov.b32 %f1, 0;
  mov.b32 %f2, 0;
  mov.b32 %f3, 0;
  mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%f0, %f1, %f2, %f3}, {%r8, %r9, %r10, %r11}, {%r12, %r13}, {%f0, %f1, %f2, %f3};
  mad.wide.u32 %x1, %r0, 8, %x1;
  st.global.v2.b32 [%x1], {%f0, %f1};
  st.global.v2.b32 [%x1+256], {%f2, %f3};
  ret;
}";

/// One warp multiplies 16 × 16 by 16 × 8. It copies 512 bytes by 16 a lane (16 sectors, a wavefront a quarter) and 256 bytes by 8 (8 sectors,
/// a wavefront a half). Rows are 32 bytes apart, so that of a matrix's 8 rows of 16 bytes the first and the fifth want the same banks: two
/// wavefronts where one would do, for four matrices and for two. It stores 8 bytes a lane twice, 8 sectors each.
#[test]
fn one_mma_tile() {
    let text = format!("{HEADER}{TILE}").replace("sm_75", "sm_80");
    let report = launched(&text, 80, "tile", [[1, 1, 1], [32, 1, 1]], 0);
    let mma = Class::Mma(Tile { m: 16, n: 8, k: 16, factor: Element::F16, half: false });
    let expected = counts([
        (Class::Alu, [20, 20 * 32, 0, 0, 0, 0]),
        (Class::Other, [2, 2 * 32, 0, 0, 0, 0]),
        (Class::Branch, [1, 32, 0, 0, 0, 0]),
        (Class::CopyAsync, [2, 64, 2, 16 + 8, 4 + 2, 4 + 2]),
        (Class::Barrier, [3, 96, 0, 0, 0, 0]),
        (Class::Matrix, [2, 64, 0, 0, 2 * 4 + 2 * 2, 4 + 2]),
        (mma, [1, 32, 0, 0, 0, 0]),
        (Class::GlobalStore, [2, 64, 2, 16, 0, 0]),
    ]);
    assert_eq!(report.totals, expected);
    assert_eq!((report.unique_read_bytes, report.unique_written_bytes), (768, 512));
}
