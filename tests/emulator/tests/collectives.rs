//! Instructions of a whole warp give what a card gave, and matrices lie in registers where the ISA's formulas say.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod collective;
mod recordings;

use collective::Program;
use collective::isa::{PRODUCTS, Product};
use cuda_emulator::decode::Fault;
use recordings::{Case, Recording, SWEEP, digest};

/// The card of the recordings.
const H100: u32 = 90;

/// Runs cases of a file; how many they were.
fn check(name: &str, chosen: impl Fn(&Case) -> bool) -> usize {
    let recording = Recording::load(name);
    let (mut count, mut wrong) = (0, Vec::new());
    for case in recording.cases().iter().filter(|case| chosen(case)) {
        let program = Program::of(case, H100).unwrap_or_else(|fault| panic!("{}: {fault}", case.op));
        let results = program.run_all(&case.inputs, case.results);
        let differ = (0..case.out.len()).filter(|at| results[*at] != case.out[*at]).collect::<Vec<_>>();
        if let Some(first) = differ.first() {
            let (ours, theirs) = (results[*first], case.out[*first]);
            wrong.push(format!(
                "{}: {} of {}, the first {ours:x} for {theirs:x}",
                case.op,
                differ.len(),
                case.out.len()
            ));
        }
        if let Some(sweep) = case.sweep {
            let column = |(kind, operand)| (0..SWEEP).map(|at| recording.generate(kind, operand, at)).collect();
            let inputs: Vec<Vec<u64>> = case.kinds.iter().map(String::as_str).zip(0..).map(column).collect();
            if digest(program.run_all(&inputs, case.results)) != sweep {
                wrong.push(format!("{}: sweep", case.op));
            }
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{} of {count} cases:\n{}", wrong.len(), wrong.join("\n"));
    count
}

#[test]
fn products_are_a_cards_bit_for_bit() {
    assert_eq!(check("matrix", |_| true), 33);
}

#[test]
fn shuffles_votes_matches_and_reductions_are_a_cards() {
    let families = ["shfl", "vote", "match", "redux", "elect", "activemask"];
    assert_eq!(check("warps", |case| families.iter().any(|family| case.op.starts_with(family))), 99);
}

/// Runs a product on as many warps as there are pairs of matrices; for each its D.
fn products(product: &Product, sm: u32, warps: &[Warp]) -> Vec<Vec<[u64; 32]>> {
    let program = Program::decode(&product.text(), 90, (7, 8), sm).unwrap();
    let mut columns = vec![Vec::new(); product.a.registers() + product.b.registers() + product.c.registers()];
    for warp in warps {
        for (column, register) in columns.iter_mut().zip(warp.iter().flatten()) {
            column.extend(register);
        }
    }
    let count = product.c.registers();
    let results = program.run_all(&columns, count);
    let warp = |results: &[u64]| (0..count).map(|at| std::array::from_fn(|lane| results[lane * count + at])).collect();
    results.chunks(32 * count).map(warp).collect()
}

/// The registers of A, B and C.
type Warp = [Vec<[u64; 32]>; 3];

#[test]
fn elements_lie_where_the_isa_says() {
    for product in PRODUCTS {
        let (m, k) = (product.m, product.k);
        for (matrix, rows, columns) in [(&product.a, m, k), (&product.b, k, 8), (&product.c, m, 8)] {
            let mut places: Vec<_> = (0..32 * matrix.count)
                .map(|at| (matrix.place)(at / matrix.count / 4, at / matrix.count % 4, at % matrix.count))
                .collect();
            places.sort_unstable();
            let all: Vec<_> = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))).collect();
            assert_eq!(places, all, "{}: each element once", product.op);
        }
        // Every A and every B that is one in one place: D is C, which differs everywhere, and one more where both meet.
        let one = |at: bool| if at { product.one } else { 0 };
        let c = |row: usize, column: usize| (row * 8 + column + 2) as u64;
        let mut warps = Vec::new();
        let mut expected = Vec::new();
        for row in 0..m {
            for depth in 0..k {
                for column in 0..8 {
                    let met = (depth * 5 + row + column) % 3 != 0;
                    let other = if met { depth } else { (depth + 1) % k };
                    warps.push([
                        product.a.registers_of(|r, d| one((r, d) == (row, depth))),
                        product.b.registers_of(|d, n| one((d, n) == (other, column))),
                        product.c.registers_of(|r, n| (product.accumulator)(c(r, n))),
                    ]);
                    expected.push(met.then_some((row, column)));
                }
            }
        }
        for (d, met) in products(product, H100, &warps).iter().zip(expected) {
            for lane in 0..32 {
                for i in 0..product.c.count {
                    let (row, column) = (product.c.place)(lane / 4, lane % 4, i);
                    let sum = c(row, column) + u64::from(met == Some((row, column)));
                    let expected = (product.accumulator)(sum);
                    assert_eq!(product.c.element_of(d, lane, i), expected, "{} {met:?}, lane {lane}, {i}", product.op);
                }
            }
        }
    }
}

#[test]
fn sums_of_every_card_are_near_the_exact_ones() {
    let mut seed = 0;
    let mut random = || {
        seed += 1;
        recordings::mix(seed)
    };
    for (op, cards) in [
        ("m16n8k8.row.col.f32.f16.f16.f32", &[75, 80, 86, 89, 90][..]),
        ("m16n8k16.row.col.f32.f16.f16.f32", &[80, 86, 89, 90]),
    ] {
        let product = PRODUCTS.iter().find(|product| product.op == op).unwrap();
        // f16 with exponents within 2^±8.
        let mut half = || random() & 0x83FF | (7 + random() % 16) << 10;
        let a: Vec<u64> = (0..16 * product.k).map(|_| half()).collect();
        let b: Vec<u64> = (0..product.k * 8).map(|_| half()).collect();
        let warp = [
            product.a.registers_of(|row, depth| a[row * product.k + depth]),
            product.b.registers_of(|depth, column| b[depth * 8 + column]),
            product.c.registers_of(|row, column| u64::from((row as f32 - column as f32).to_bits())),
        ];
        let value = |bits: u64| {
            let magnitude = (1.0 + (bits & 0x3FF) as f64 / 1024.0) * 2_f64.powi((bits >> 10 & 31) as i32 - 15);
            if bits & 0x8000 == 0 { magnitude } else { -magnitude }
        };
        for sm in cards {
            let d = &products(product, *sm, std::slice::from_ref(&warp))[0];
            for lane in 0..32 {
                for i in 0..product.c.count {
                    let (row, column) = (product.c.place)(lane / 4, lane % 4, i);
                    let terms = (0..product.k).map(|k| value(a[row * product.k + k]) * value(b[k * 8 + column]));
                    let terms: Vec<f64> = terms.chain([row as f64 - column as f64]).collect();
                    let (exact, size) =
                        terms.iter().fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
                    let ours = f64::from(f32::from_bits(product.c.element_of(d, lane, i) as u32));
                    assert!((ours - exact).abs() <= size * 2_f64.powi(-20), "sm_{sm} {op}: {ours} for {exact}");
                }
            }
        }
    }
}

#[test]
fn movmatrix_exchanges_rows_and_columns() {
    let text = ".version 7.8\n.target sm_90\n.address_size 64\n.entry k() { .reg .b32 %a, %r<1>; movmatrix.sync.aligned.m8n8.trans.b16 %r0, %a; }";
    let program = Program::decode(text, 90, (7, 8), H100).unwrap();
    let element = |row: u64, column: u64| (row << 8) | column;
    let word = |row: u64, pair: u64| element(row, pair * 2) | (element(row, pair * 2 + 1) << 16);
    let results = program.run_all(&[(0..32).map(|lane| word(lane / 4, lane % 4)).collect()], 1);
    for (lane, result) in (0..).zip(results) {
        let (row, pair) = (lane / 4, lane % 4);
        assert_eq!(result, element(pair * 2, row) | (element(pair * 2 + 1, row) << 16), "lane {lane}");
    }
}

#[test]
fn a_lane_that_takes_no_part_gives_nothing_to_rely_on() {
    let text = ".version 7.8\n.target sm_90\n.address_size 64\n.entry k() { .reg .b32 %a, %r<1>; .reg .pred %p;\n\
        mov.b32 %r0, 7; setp.lt.u32 %p, %a, 16; @%p shfl.sync.down.b32 %r0, %a, 8, 31, 0xffff; }";
    let program = Program::decode(text, 90, (7, 8), H100).unwrap();
    let results = program.run_all(&[(0..32).collect()], 1);
    assert!((0..8).all(|lane| results[lane] == lane as u64 + 8), "from lanes that take part");
    assert!((8..16).all(|lane| results[lane] == 0xDEAD_BEEF), "from lanes that do not");
    assert!((16..32).all(|lane| results[lane] == 7), "lanes that do not keep what they have");
}

#[test]
fn what_is_no_instruction_or_not_here_is_told_apart() {
    let fault = |code: &str| {
        let registers = ".reg .b32 %r<16>; .reg .b64 %d<4>; .reg .f32 %f<16>; .reg .pred %p<2>;";
        let text = format!(".version 8.0\n.target sm_90\n.address_size 64\n.entry k() {{ {registers} {code} }}");
        Program::decode(&text, 90, (8, 0), H100).err()
    };
    for code in [
        "shfl.up.b32 %r0, %r1, 1, 0;",
        "vote.all.pred %p0, %p1;",
        "redux.sync.mul.u32 %r0, %r1, -1;",
        "match.any.sync.b16 %r0, %r1, -1;",
        "mma.sync.aligned.m16n8k8.col.row.f32.f16.f16.f32 {%f0,%f1,%f2,%f3}, {%r0,%r1}, {%r2}, {%f0,%f1,%f2,%f3};",
        "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f16 {%f0,%f1,%f2,%f3}, {%r0,%r1}, {%r2}, {%r0,%r1};",
        "mma.sync.m16n8k8.row.col.f32.f16.f16.f32 {%f0,%f1,%f2,%f3}, {%r0,%r1}, {%r2}, {%f0,%f1,%f2,%f3};",
    ] {
        assert!(matches!(fault(code), Some(Fault::Unknown(_))), "{code}: {:?}", fault(code));
    }
    for code in [
        "mma.sync.aligned.m8n8k32.row.col.s32.s4.s4.s32 {%r0,%r1}, {%r2}, {%r3}, {%r4,%r5};",
        "mma.sync.aligned.m16n8k32.row.col.f16.e4m3.e4m3.f16 {%r6,%r7}, {%r0,%r1,%r2,%r3}, {%r4,%r5}, {%r6,%r7};",
        "mma.sp.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%f0,%f1,%f2,%f3}, {%r0,%r1}, {%r2,%r3}, {%f0,%f1,%f2,%f3}, %r4, 0;",
        "wgmma.fence.sync.aligned;",
    ] {
        assert!(matches!(fault(code), Some(Fault::Unsupported(_))), "{code}: {:?}", fault(code));
    }
    for code in [
        "shfl.sync.up.b32 %r0, %r1, 1, 0;",
        "elect.sync %r0, -1;",
        "redux.sync.add.u32 %d0, %r1, -1;",
        "match.any.sync.b32 %r0|%p0, %r1, -1;",
        "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%f0,%f1}, {%r0,%r1}, {%r2}, {%f0,%f1,%f2,%f3};",
        "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%f0,%f1,%f2,%f3}, {%r0,%r1}, %r2, {%f0,%f1,%f2,%f3};",
    ] {
        assert!(matches!(fault(code), Some(Fault::Arguments(_))), "{code}: {:?}", fault(code));
    }
}
