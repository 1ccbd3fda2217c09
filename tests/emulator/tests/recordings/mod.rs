//! What the card has answered, as `hardware/README.md` describes it: cases with their programs, inputs and results, and the inputs of sweeps.
//! Not here: what a case is compared with.
#![allow(clippy::unwrap_used, unreachable_pub, dead_code, reason = "tests, of which each needs a part")]

use std::path::Path;

use serde_json::{Map, Value};

/// A file of recordings.
pub struct Recording {
    file: Value,
}

/// One instruction, or two, over many inputs.
pub struct Case {
    pub op: String,
    /// The whole program, and where in its instructions the code under test stands.
    pub ptx: String,
    /// The same program without the code under test.
    pub empty: String,
    /// Of the module, as 80.
    pub target: u32,
    pub version: (u32, u32),
    pub block: usize,
    /// Types of the operands, as `values.py` has them.
    pub kinds: Vec<String>,
    /// A column an operand.
    pub inputs: Vec<Vec<u64>>,
    /// Of a result, in bits.
    pub width: u32,
    /// Results of a thread.
    pub results: usize,
    /// All results of a thread together.
    pub out: Vec<u64>,
    /// The digest over generated inputs.
    pub sweep: Option<u64>,
}

/// Threads of a sweep.
pub const SWEEP: u64 = 65536;

impl Recording {
    /// Reads `recordings/{name}.json`.
    pub fn load(name: &str) -> Self {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/hardware/recordings"));
        let text = std::fs::read(folder.join(format!("{name}.json"))).unwrap();
        Self { file: serde_json::from_slice(&text).unwrap() }
    }

    /// All cases that have a frame of their own; programs are not among them.
    pub fn cases(&self) -> Vec<Case> {
        let cases = self.file["cases"].as_array().unwrap().iter();
        cases.filter(|case| case["frame"].is_string() && case["frame"] != "raw").map(|case| self.case(case)).collect()
    }

    fn case(&self, case: &Value) -> Case {
        let text = |key: &str| case[key].as_str().unwrap().to_owned();
        let frame = text("frame");
        let around = self.file["frames"][&frame].as_str().unwrap();
        let filled = around.replace("{version}", &text("version")).replace("{target}", &text("target"));
        let (width, results) = result_of(&frame);
        let (kinds, columns) = match &case["in"] {
            Value::String(signature) => (signature.clone(), self.file["inputs"][signature].as_array().unwrap().clone()),
            listed => (listed[0].as_str().unwrap().to_owned(), listed.as_array().unwrap()[1..].to_vec()),
        };
        let kinds: Vec<String> = kinds.split(',').map(str::to_owned).collect();
        let columns = columns.iter().map(|column| column.as_str().unwrap());
        let columns = columns.map(|column| self.file["shared"][column].as_str().unwrap_or(column));
        let inputs = kinds.iter().zip(columns).map(|(kind, column)| unhex(column, width_of(kind))).collect();
        let version = text("version");
        let (major, minor) = version.split_once('.').unwrap();
        Case {
            op: text("op"),
            ptx: filled.replace("{code}", &text("code")),
            empty: filled.replace("{code}", ""),
            target: text("target").trim_start_matches("sm_").parse().unwrap(),
            version: (major.parse().unwrap(), minor.parse().unwrap()),
            block: case["block"].as_u64().unwrap() as usize,
            kinds,
            inputs,
            width,
            results,
            out: unhex(&text("out"), width),
            sweep: case["sweep"].as_str().map(|digest| u64::from_str_radix(digest, 16).unwrap()),
        }
    }

    /// One element of an operand's sweep.
    pub fn generate(&self, kind: &str, operand: u64, index: u64) -> u64 {
        generate(self.file["edges"].as_object().unwrap(), kind, operand, index)
    }
}

/// `b32x2(…)` is two results of 32 bits.
fn result_of(frame: &str) -> (u32, usize) {
    let result = frame.split('(').next().unwrap().trim_start_matches('b');
    let (width, results) = result.split_once('x').unwrap_or((result, "1"));
    (width.parse().unwrap(), results.parse().unwrap())
}

/// In bits.
pub fn width_of(kind: &str) -> u32 {
    match kind {
        "u8" | "s8" => 8,
        "u16" | "s16" | "f16" | "bf16" | "b16" | "e8x2" | "f16m" | "bf16m" => 16,
        "u64" | "s64" | "b64" | "f64" | "f64m" => 64,
        _ => 32,
    }
}

/// Fixed-width big-endian numbers run together.
pub fn unhex(text: &str, width: u32) -> Vec<u64> {
    let digits = width as usize / 4;
    (0..text.len() / digits).map(|at| u64::from_str_radix(&text[at * digits..(at + 1) * digits], 16).unwrap()).collect()
}

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The finaliser of splitmix64.
pub fn mix(bits: u64) -> u64 {
    let bits = (bits ^ bits >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let bits = (bits ^ bits >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ bits >> 31
}

/// The digest of a sweep's results.
pub fn digest(values: impl IntoIterator<Item = u64>) -> u64 {
    let keys = values.into_iter().zip(1_u64..).map(|(value, at)| mix(value.wrapping_add(at.wrapping_mul(GOLDEN))));
    keys.fold(0, u64::wrapping_add)
}

/// Exponent and mantissa of a fraction.
fn format_of(kind: &str) -> Option<(u32, u32)> {
    Some(match kind {
        "f16" | "f16m" => (5, 10),
        "bf16" | "bf16m" => (8, 7),
        "f32" | "f32m" => (8, 23),
        "f64" | "f64m" => (11, 52),
        _ => return None,
    })
}

fn generate(edges: &Map<String, Value>, kind: &str, operand: u64, index: u64) -> u64 {
    if let Some(half) = kind.strip_suffix("x2").filter(|half| *half != "e8").or(pair_of_matrix(kind)) {
        let [low, high] = [index, index + (1 << 20)].map(|index| generate(edges, half, operand, index));
        return low | high << 16;
    }
    let r = mix((index.wrapping_mul(4).wrapping_add(operand + 1)).wrapping_mul(GOLDEN));
    let s = mix(r);
    let (which, extra) = (s & 7, s >> 3);
    let ones = u64::MAX >> (64 - width_of(kind));
    if let Some((reach, (exponent, mantissa))) = reach_of(kind).zip(format_of(kind)) {
        let bias = (1 << (exponent - 1)) - 1;
        let keep = r & (1 << (exponent + mantissa) | ((1 << mantissa) - 1));
        let far = bias - reach + extra % (2 * reach + 1);
        let exponent = if which < 4 { bias - 4 + (extra & 7) } else { far };
        return (keep | exponent << mantissa) & ones;
    }
    let r = match kind {
        "shift" => r & 63,
        "lane" => r & 31,
        _ => r & ones,
    };
    let edge = || {
        let table = edges[kind].as_array().unwrap();
        u64::from_str_radix(table[(extra % table.len() as u64) as usize].as_str().unwrap(), 16).unwrap()
    };
    match (format_of(kind), which) {
        _ if kind == "lane" => r,
        (_, 7) => edge(),
        _ if kind == "shift" => r,
        (Some((exponent, mantissa)), 3..=6) => {
            let bias = (1 << (exponent - 1)) - 1;
            let keep = r & (1 << (exponent + mantissa) | ((1 << mantissa) - 1));
            let most = (1 << exponent) - 2;
            let rim = [0, 1, most, most.min(bias + u64::from(mantissa))][(extra & 3) as usize];
            keep | if which == 6 { rim } else { bias - 4 + (extra & 7) } << mantissa
        }
        (None, 4 | 5) => (r & 255).wrapping_sub(128) & ones,
        (None, 6) => (1_u64 << (extra % u64::from(width_of(kind)))).wrapping_sub(extra >> 9 & 1) & ones,
        _ => r,
    }
}

/// Pairs of the numbers that matrices are made of.
fn pair_of_matrix(kind: &str) -> Option<&'static str> {
    match kind {
        "f16x2m" => Some("f16m"),
        "bf16x2m" => Some("bf16m"),
        _ => None,
    }
}

/// How far exponents of the numbers that matrices are made of are from one's.
fn reach_of(kind: &str) -> Option<u64> {
    match kind {
        "f16m" => Some(14),
        "bf16m" | "f32m" => Some(15),
        "f64m" => Some(60),
        _ => None,
    }
}
