//! Every instruction that computes in a lane by itself, against what a card has answered: listed inputs, and the digest of 65,536 generated ones.
//! What is exact must agree in every bit; what is approximate must stay within the error of the ISA, with noise and without.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests")]

mod recordings;

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use cuda_emulator::alu;
use cuda_emulator::decode::names::{Names, Symbol};
use cuda_emulator::decode::types::Type;
use cuda_emulator::exec::Lanes;
use cuda_emulator::exec::registers::{LANES, Mask, Registers, Slot};
use cuda_emulator::parse::parse;
use cuda_emulator::parse::syntax::{Instruction, Space, Statement};
use recordings::{Case, Recording, SWEEP};

/// A case's code under test, ready to run.
struct Kernel {
    names: Names,
    code: Vec<(Option<(Slot, bool)>, Lanes)>,
    operands: Vec<Slot>,
    results: Vec<Slot>,
    thread: Slot,
}

/// Instructions of the only kernel, and its registers.
fn read(text: &str) -> (Vec<Instruction>, Vec<(String, Type)>) {
    let module = parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let (mut instructions, mut registers) = (Vec::new(), Vec::new());
    for statement in module.functions[0].body.as_ref().unwrap() {
        match statement {
            Statement::Instruction(instruction) => instructions.push(instruction.clone()),
            Statement::Variable(variable) if variable.space == Space::Reg => {
                let ty = Type::named(&variable.ty).unwrap();
                match variable.count {
                    None => registers.push((variable.name.clone(), ty)),
                    Some(count) => registers.extend((0..count).map(|at| (format!("{}{at}", variable.name), ty))),
                }
            }
            _ => {}
        }
    }
    (instructions, registers)
}

impl Kernel {
    fn new(case: &Case) -> Self {
        let (instructions, registers) = read(&case.ptx);
        let around = read(&case.empty).0.len();
        // after the code stand the address of the result, the stores, and the end
        let end = instructions.len() - (2 + case.results + 1);
        let begin = end - (instructions.len() - around);
        let mut names = Names::new(case.target, case.version);
        for (name, ty) in registers {
            let slot = names.scratch(ty);
            names.declare(&name, Symbol::Register(slot, ty)).unwrap();
        }
        let slot = |names: &Names, name: &str| match names.find(name).unwrap() {
            Symbol::Register(slot, _) => *slot,
            other => panic!("{name} is {other:?}"),
        };
        let mut code = Vec::new();
        for instruction in &instructions[begin..end] {
            let lanes = alu::decode(instruction, &mut names).unwrap_or_else(|fault| panic!("{}: {fault}", case.op));
            let lanes = lanes.unwrap_or_else(|| panic!("{}: {} is of another family", case.op, instruction.name));
            let guard = instruction.guard.as_ref().map(|(name, negated)| (slot(&names, name), *negated));
            code.push((guard, lanes));
        }
        let operands = (0..case.kinds.len()).map(|at| slot(&names, &format!("%{}", "abcd".as_bytes()[at] as char)));
        let operands = operands.collect();
        let results = (0..case.results).map(|at| slot(&names, &format!("%r{at}"))).collect();
        let thread = slot(&names, "%thread");
        Self { names, code, operands, results, thread }
    }

    /// All results of all threads.
    fn run(&self, columns: &[&[u64]], width: u32, noise: u64) -> Vec<u64> {
        let mut registers = Registers::new(self.names.sizes());
        registers.noise = noise;
        for (slot, bits) in self.names.constants() {
            match slot {
                Slot::Predicate(_) if bits != 0 => registers.write_predicate(slot, Mask::MAX, Mask::MAX),
                _ => registers.write(slot, &[bits; LANES], Mask::MAX),
            }
        }
        let count = columns[0].len();
        let mut out = Vec::with_capacity(count * self.results.len());
        for first in (0..count).step_by(LANES) {
            let threads = LANES.min(count - first);
            let mask = Mask::MAX >> (LANES - threads);
            for (slot, column) in self.operands.iter().zip(columns) {
                let values: [u64; LANES] = std::array::from_fn(|lane| column.get(first + lane).copied().unwrap_or(0));
                registers.write(*slot, &values, mask);
            }
            registers.write(self.thread, &std::array::from_fn::<u64, LANES, _>(|lane| (first + lane) as u64), mask);
            for (guard, lanes) in &self.code {
                let held = guard.map_or(Mask::MAX, |(slot, negated)| {
                    let bits = registers.predicate(slot);
                    if negated { !bits } else { bits }
                });
                lanes(&mut registers, mask & held);
            }
            for lane in 0..threads {
                out.extend(self.results.iter().map(|slot| registers.lane(*slot, lane) & u64::MAX >> (64 - width)));
            }
        }
        out
    }
}

/// An operand of all threads of a sweep.
type Column = std::sync::Arc<Vec<u64>>;

/// Columns of sweeps, each made once.
struct Sweeps<'a> {
    recording: &'a Recording,
    columns: Mutex<HashMap<(String, u64), Column>>,
}

impl Sweeps<'_> {
    fn column(&self, kind: &str, operand: u64) -> Column {
        let mut columns = self.columns.lock().unwrap();
        let make = || (0..SWEEP).map(|index| self.recording.generate(kind, operand, index)).collect::<Vec<_>>();
        columns.entry((kind.to_owned(), operand)).or_insert_with(|| make().into()).clone()
    }
}

/// What is wrong with a case, if anything.
fn compare(case: &Case, sweeps: &Sweeps) -> Option<String> {
    let kernel = Kernel::new(case);
    let columns: Vec<&[u64]> = case.inputs.iter().map(Vec::as_slice).collect();
    let out = kernel.run(&columns, case.width, 0);
    if let Some(at) = (0..case.out.len()).find(|at| out.get(*at) != case.out.get(*at)) {
        let thread = at / case.results;
        let inputs: Vec<String> = columns.iter().map(|column| format!("{:x}", column[thread])).collect();
        let wrong = out.iter().zip(&case.out).filter(|(ours, theirs)| ours != theirs).count();
        return Some(format!(
            "{} of {:?}: {:x}, recorded {:x} ({wrong} differ)",
            case.op, inputs, out[at], case.out[at]
        ));
    }
    let columns = case.kinds.iter().zip(0..).map(|(kind, operand)| sweeps.column(kind, operand)).collect::<Vec<_>>();
    let columns: Vec<&[u64]> = columns.iter().map(|column| column.as_slice()).collect();
    let wanted = case.sweep?;
    let ours = recordings::digest(kernel.run(&columns, case.width, 0));
    (ours != wanted).then(|| format!("{}: its sweep", case.op))
}

fn is_approximate(case: &Case) -> bool {
    case.op.contains(".approx") || case.op.contains(".full")
}

/// Compares all cases of a file that are exact; how many there must be.
fn exact(file: &str, count: usize) {
    let recording = Recording::load(file);
    let cases: Vec<Case> = recording.cases().into_iter().filter(|case| !is_approximate(case)).collect();
    assert_eq!(cases.len(), count);
    let sweeps = Sweeps { recording: &recording, columns: Mutex::default() };
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let fault = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| compare(case, &sweeps)));
                    let fault = fault.unwrap_or_else(|_| Some(format!("{}: panicked", case.op)));
                    wrong.lock().unwrap().extend(fault);
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {count} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn integers_are_exact() {
    exact("integers", 200);
}

#[test]
fn fractions_are_exact() {
    exact("floats", 254);
}

#[test]
fn conversions_are_exact() {
    exact("conversions", 535);
}

#[test]
fn comparisons_are_exact() {
    exact("comparisons", 100);
}

/// How far a result may be from the right value: what the ISA says of each approximate instruction, by operand and value.
fn bound(op: &str, x: f64, exact: f64) -> f64 {
    let relative = |bits: f64| exact.abs() * (-bits).exp2();
    let ulp = exact.abs().log2().floor().max(-126.0) - 23.0;
    let name = op.split('.').next().unwrap();
    match (name, op.rsplit('.').next().unwrap()) {
        ("tanh", "f16") => (-10.987_f64).exp2(),
        ("tanh", "bf16") => (-8.0_f64).exp2(),
        ("ex2", "f16") => relative(9.9),
        ("ex2", "bf16") => relative(7.0),
        ("rcp", "f64") => relative(20.0),
        ("rsqrt", "f64") => relative(51.0),
        ("ex2", _) => 2.0 * ulp.exp2(),
        ("lg2", _) if (0.5..2.0).contains(&x) => (-22.0_f64).exp2(),
        ("lg2", _) => relative(22.0),
        ("sin" | "cos", _) if x.abs() <= 2.0 * std::f64::consts::PI => (-20.5_f64).exp2(),
        ("sin" | "cos", _) => (-14.7_f64).exp2(),
        ("tanh", _) => relative(11.0),
        ("sqrt", _) => relative(23.0),
        ("rsqrt", _) => relative(22.9),
        ("rcp", _) => ulp.exp2(),
        _ => 2.0 * ulp.exp2(),
    }
}

fn right(op: &str, x: f64, y: f64) -> f64 {
    match op.split('.').next().unwrap() {
        "ex2" => x.exp2(),
        "lg2" => x.log2(),
        "sin" => x.sin(),
        "cos" => x.cos(),
        "tanh" => x.tanh(),
        "rcp" => 1.0 / x,
        "sqrt" => x.sqrt(),
        "rsqrt" => 1.0 / x.sqrt(),
        _ => x / y,
    }
}

fn number(kind: &str, bits: u64) -> f64 {
    match kind {
        "f64" => f64::from_bits(bits),
        "f32" => f64::from(f32::from_bits(bits as u32)),
        "bf16" => f64::from(f32::from_bits((bits as u32) << 16)),
        _ => half::f16::from_bits(bits as u16).to_f64(),
    }
}

/// Whether a value is so small, as an operand or as a result, that `.ftz` or a half's range has a say.
fn is_subnormal(kind: &str, value: f64) -> bool {
    let least = match kind {
        "f64" => f64::MIN_POSITIVE,
        "f16" => (-14_f64).exp2(),
        _ => (-126_f64).exp2(),
    };
    value != 0.0 && value.abs() < least
}

/// Whether a result is within the error that the ISA allows. Of what is subnormal, or beyond the format, only the recorded form is asked elsewhere.
fn is_near(case: &Case, operands: &[f64], result: u64) -> bool {
    let kind = case.kinds[0].as_str();
    let (x, y) = (operands[0], operands.get(1).copied().unwrap_or(1.0));
    let (exact, got) = (right(&case.op, x, y), number(kind, result));
    let far = case.op.starts_with("div.approx") && y.abs() > 126_f64.exp2();
    let overflows = kind != "f64" && exact.abs() > number(kind, top(kind));
    if far || overflows || [x, y, exact].into_iter().any(|value| is_subnormal(kind, value)) {
        return true;
    }
    if !exact.is_finite() || exact == 0.0 {
        return got == exact || got.is_nan() && exact.is_nan();
    }
    // the ISA's exponents are rounded: the card's own greatest error is above by so much
    (got - exact).abs() <= bound(&case.op, x, exact) * (1.0 + 1e-4)
}

fn top(kind: &str) -> u64 {
    match kind {
        "f16" => 0x7BFF,
        "bf16" => 0x7F7F,
        _ => 0x7F7F_FFFF,
    }
}

/// Compares all results of a case; where a pair of 16-bit numbers is computed, both.
fn stays_near(case: &Case, results: &[u64], columns: &[&[u64]], what: &str) {
    for (thread, result) in results.iter().enumerate() {
        let kind = case.kinds[0].as_str();
        let operands: Vec<f64> = columns.iter().map(|column| number(kind, column[thread])).collect();
        assert!(is_near(case, &operands, *result), "{} of {operands:?}: {what} {result:x}", case.op);
    }
}

#[test]
fn approximations_stay_within_the_error_of_the_isa_and_noise_uses_it() {
    let recording = Recording::load("approximations");
    let cases = recording.cases();
    assert_eq!(cases.len(), 25);
    for case in &cases {
        let kernel = Kernel::new(case);
        let columns: Vec<&[u64]> = case.inputs.iter().map(Vec::as_slice).collect();
        let model = kernel.run(&columns, case.width, 0);
        stays_near(case, &case.out, &columns, "the card's");
        stays_near(case, &model, &columns, "the model's");
        let noisy = kernel.run(&columns, case.width, 0x5EED);
        stays_near(case, &noisy, &columns, "with noise");
        assert_eq!(noisy, kernel.run(&columns, case.width, 0x5EED), "{}: noise repeats", case.op);
        let changed = noisy.iter().zip(&model).filter(|(noisy, model)| noisy != model).count();
        if case.width == 64 {
            assert_eq!(changed, 0, "{}: is exact here", case.op);
            continue;
        }
        assert!(changed >= noisy.len() / 20, "{}: noise changes {changed} of {}", case.op, noisy.len());
        assert_ne!(noisy, kernel.run(&columns, case.width, 0xBEEF), "{}: other noise", case.op);
    }
}

#[test]
fn under_noise_one_input_gives_one_result_in_every_lane() {
    for case in &Recording::load("approximations").cases() {
        let kernel = Kernel::new(case);
        // each of some inputs in thirty-two lanes
        for input in (0..case.inputs[0].len()).step_by(97) {
            let columns: Vec<Vec<u64>> = case.inputs.iter().map(|column| vec![column[input]; 32]).collect();
            let columns: Vec<&[u64]> = columns.iter().map(Vec::as_slice).collect();
            let results = kernel.run(&columns, case.width, 0x5EED);
            assert!(results.iter().all(|result| *result == results[0]), "{}: {results:x?}", case.op);
        }
    }
}

#[test]
fn under_noise_what_every_card_has_exact_stays_exact() {
    let cases = Recording::load("approximations").cases();
    let of = |name: &str, inputs: &[f32]| {
        let case = cases.iter().find(|case| case.op == name).unwrap_or_else(|| panic!("no case {name}"));
        let column: Vec<u64> = inputs.iter().map(|input| u64::from(input.to_bits())).collect();
        let results = Kernel::new(case).run(&[&column], case.width, 0x5EED);
        results.into_iter().map(|bits| f32::from_bits(bits as u32)).collect::<Vec<f32>>()
    };
    let whole: Vec<f32> = (-126..=127).map(|exponent| exponent as f32).chain([0.0, -0.0]).collect();
    let powers: Vec<f32> = whole.iter().map(|exponent| exponent.exp2()).collect();
    assert_eq!(of("ex2.approx.f32", &whole), powers);
    assert_eq!(of("ex2.approx.ftz.f32", &whole), powers);
    assert_eq!(of("cos.approx.f32", &[0.0, -0.0]), [1.0, 1.0]);
    let tiny = f32::from_bits(1);
    assert_eq!(of("tanh.approx.f32", &[f32::INFINITY, f32::NEG_INFINITY, tiny, -tiny]), [1.0, -1.0, tiny, -tiny]);
}

/// Of these listed cases the special values, as a card gives them: zeros, infinities, NaN, what is flushed.
#[test]
fn approximations_have_the_special_values_of_the_card() {
    let recording = Recording::load("floats");
    let cases: Vec<Case> = recording.cases().into_iter().filter(is_approximate).collect();
    assert_eq!(cases.len(), 30);
    let mut wrong = Vec::new();
    for case in &cases {
        let kernel = Kernel::new(case);
        let columns: Vec<&[u64]> = case.inputs.iter().map(Vec::as_slice).collect();
        for noise in [0, 0x5EED] {
            let results = kernel.run(&columns, case.width, noise);
            for (thread, (ours, theirs)) in results.iter().zip(&case.out).enumerate() {
                let pair = case.kinds[0].strip_suffix("x2");
                let kind = pair.unwrap_or(&case.kinds[0]);
                for shift in if pair.is_some() { &[0, 16][..] } else { &[0] } {
                    let cut = |bits: u64| if pair.is_some() { bits >> shift & 0xFFFF } else { bits };
                    let (ours, theirs) = (cut(*ours), cut(*theirs));
                    let special = |bits: u64| number(kind, bits) == 0.0 || !number(kind, bits).is_finite();
                    let tiny = case.op.starts_with("sin") || case.op.starts_with("cos");
                    if (special(theirs) || special(ours)) && ours != theirs && !tiny {
                        let operands: Vec<String> =
                            columns.iter().map(|column| format!("{:x}", cut(column[thread]))).collect();
                        wrong.push(format!("{} of {operands:?}: {ours:x}, recorded {theirs:x}", case.op));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
