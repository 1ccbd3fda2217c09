//! Kernels that we did not write compute what they should: Triton's PTX for sm_75 and sm_80 (`oracle/`), launched through the driver API, against
//! sums in f64. Whoever misreads a fragment's layout cannot pass this.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod client;

use client::{Card, Kernel};
use half::{bf16, f16};
use serde_json::Value;

struct Oracle {
    card: Card,
    kernel: Kernel,
    block: u32,
    shared: u32,
    constants: Value,
}

impl Oracle {
    fn open(name: &str) -> Self {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/oracle");
        let listed = std::fs::read_to_string(format!("{folder}/kernels.json")).unwrap();
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let listed = &listed[name];
        let card = Card::open();
        let ptx = std::fs::read_to_string(format!("{folder}/{name}.ptx")).unwrap();
        let kernel = card.kernel(&ptx, listed["entry"].as_str().unwrap()).unwrap();
        let number = |key: &str| u32::try_from(listed[key].as_u64().unwrap()).unwrap();
        Self {
            card,
            kernel,
            block: 32 * number("warps"),
            shared: number("shared"),
            constants: listed["constants"].clone(),
        }
    }

    fn constant(&self, name: &str) -> usize {
        usize::try_from(self.constants[name].as_u64().unwrap()).unwrap()
    }

    /// Launches and waits. Triton's kernels take two pointers more than they use.
    fn run(&self, grid: [usize; 2], mut parameters: Vec<Vec<u8>>) {
        parameters.extend([vec![0; 8], vec![0; 8]]);
        let grid = [u32::try_from(grid[0]).unwrap(), u32::try_from(grid[1]).unwrap(), 1];
        self.card.launch(self.kernel, grid, [self.block, 1, 1], self.shared, &parameters).unwrap();
        self.card.synchronize().unwrap();
    }
}

fn bytes<const N: usize>(bytes: [u8; N]) -> Vec<u8> {
    bytes.to_vec()
}

fn int(value: usize) -> Vec<u8> {
    bytes(i32::try_from(value).unwrap().to_le_bytes())
}

/// Values from -1 to 1 that repeat.
fn values(seed: u64, count: usize) -> impl Iterator<Item = f64> {
    let mut state = seed;
    (0..count).map(move |_| {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        (state >> 33) as f64 / f64::from(1u32 << 30) - 1.0
    })
}

/// A product of [m, k] and [k, n], of which every element is compared: |error| ≤ 1e-5 Σ|a·b|.
fn matmul(name: &str, [m, n, k]: [usize; 3]) {
    let oracle = Oracle::open(name);
    let brain = name.contains("bf16");
    let narrow = |value: f64| if brain { bf16::from_f64(value).to_bits() } else { f16::from_f64(value).to_bits() };
    let wide = |bits: u16| if brain { bf16::from_bits(bits).to_f64() } else { f16::from_bits(bits).to_f64() };
    let a: Vec<u16> = values(1, m * k).map(narrow).collect();
    let b: Vec<u16> = values(2, k * n).map(narrow).collect();
    let [left, right] = [oracle.card.upload(&a).unwrap(), oracle.card.upload(&b).unwrap()];
    let out = oracle.card.allocate(4 * m * n).unwrap();
    let grid = [m.div_ceil(oracle.constant("BM")), n.div_ceil(oracle.constant("BN"))];
    let pointers = [left, right, out].map(|address| bytes(address.to_le_bytes()));
    oracle.run(grid, pointers.into_iter().chain([int(m), int(n), int(k)]).collect());
    let c: Vec<f32> = oracle.card.download(out, m * n).unwrap();
    let (a, b): (Vec<f64>, Vec<f64>) = (a.into_iter().map(wide).collect(), b.into_iter().map(wide).collect());
    for row in 0..m {
        for column in 0..n {
            let products = (0..k).map(|depth| a[row * k + depth] * b[depth * n + column]);
            let (sum, scale) =
                products.fold((0.0, 0.0), |(sum, scale), product| (sum + product, scale + product.abs()));
            let found = f64::from(c[row * n + column]);
            assert!((found - sum).abs() <= 1e-5 * scale, "{name} at ({row}, {column}): {found} for {sum}");
        }
    }
}

#[test]
fn matmul_f16_by_tensor_cores() {
    matmul("matmul_fp16.sm_80", [100, 72, 90]);
    matmul("whole_matmul_fp16.sm_80", [128, 64, 96]);
}

#[test]
fn matmul_bf16_by_tensor_cores() {
    matmul("matmul_bf16.sm_80", [70, 130, 64]);
    matmul("whole_matmul_bf16.sm_80", [64, 128, 160]);
}

#[test]
fn matmul_f16_by_fma() {
    matmul("matmul_fp16.sm_75", [65, 66, 67]);
    matmul("whole_matmul_fp16.sm_75", [64, 64, 64]);
}

/// A kernel of rows: what it made of each.
fn rows(name: &str, columns: usize, parameters: impl Fn(&Card, u64, u64) -> Vec<Vec<u8>>) -> (Vec<f32>, Vec<f32>) {
    const ROWS: usize = 13;
    let oracle = Oracle::open(name);
    let x: Vec<f32> = values(3, ROWS * columns).map(|value| (5.0 * value) as f32).collect();
    let [from, to] = [oracle.card.upload(&x).unwrap(), oracle.card.allocate(4 * x.len()).unwrap()];
    oracle.run([ROWS, 1], parameters(&oracle.card, from, to));
    let y = oracle.card.download(to, x.len()).unwrap();
    (x, y)
}

#[test]
fn layer_norm_with_rows_of_any_length() {
    for (target, channels) in [("sm_75", 768), ("sm_80", 96), ("sm_80", 1023)] {
        let scale: Vec<f32> = values(4, channels).map(|value| value as f32).collect();
        let shift: Vec<f32> = values(5, channels).map(|value| value as f32).collect();
        let (x, y) = rows(&format!("layer_norm.{target}"), channels, |card, from, to| {
            let [scale, shift] = [card.upload(&scale).unwrap(), card.upload(&shift).unwrap()];
            let mut all: Vec<_> = [from, scale, shift, to].map(|address| bytes(address.to_le_bytes())).into();
            all.extend([int(channels), bytes(1e-6f32.to_le_bytes())]);
            all
        });
        for (x, y) in x.chunks(channels).zip(y.chunks(channels)) {
            let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / channels as f64;
            let variance = x.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / channels as f64;
            for (at, (x, y)) in x.iter().zip(y).enumerate() {
                let normed = (f64::from(*x) - mean) / (variance + f64::from(1e-6f32)).sqrt();
                let expected = normed * f64::from(scale[at]) + f64::from(shift[at]);
                assert!((f64::from(*y) - expected).abs() <= 1e-5, "{target} {channels} at {at}: {y} for {expected}");
            }
        }
    }
}

#[test]
fn softmax_sums_to_one() {
    for (target, columns) in [("sm_75", 1000), ("sm_80", 49), ("sm_80", 1024)] {
        let (x, y) = rows(&format!("softmax.{target}"), columns, |_, from, to| {
            vec![bytes(from.to_le_bytes()), bytes(to.to_le_bytes()), int(columns)]
        });
        for (x, y) in x.chunks(columns).zip(y.chunks(columns)) {
            let sum: f64 = x.iter().map(|x| f64::from(*x).exp()).sum();
            for (x, y) in x.iter().zip(y) {
                let expected = f64::from(*x).exp() / sum;
                assert!((f64::from(*y) - expected).abs() <= 1e-5 * expected, "{target}: {y} for {expected}");
            }
        }
    }
}

/// erf by its series, to f64's precision for |x| ≤ 4 (Abramowitz and Stegun 7.1.6: all terms are positive).
fn erf(x: f64) -> f64 {
    let terms = (0..200).scan(x, |term, n| {
        let now = *term;
        *term *= 2.0 * x * x / f64::from(2 * n + 3);
        Some(now)
    });
    terms.sum::<f64>() * (-x * x).exp() * 2.0 / std::f64::consts::PI.sqrt()
}

#[test]
fn gelu_by_the_error_function() {
    for target in ["sm_75", "sm_80"] {
        let oracle = Oracle::open(&format!("gelu.{target}"));
        let x: Vec<f32> = values(6, 3000).map(|value| (5.0 * value) as f32).collect();
        let [from, to] = [oracle.card.upload(&x).unwrap(), oracle.card.allocate(4 * x.len()).unwrap()];
        let parameters = vec![bytes(from.to_le_bytes()), bytes(to.to_le_bytes()), int(x.len())];
        oracle.run([x.len().div_ceil(oracle.constant("BLOCK")), 1], parameters);
        let y: Vec<f32> = oracle.card.download(to, x.len()).unwrap();
        for (x, y) in x.iter().zip(y) {
            let x = f64::from(*x);
            let expected = 0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2));
            assert!((f64::from(y) - expected).abs() <= 1e-5, "{target}: gelu({x}) is {y}, not {expected}");
        }
    }
}

#[test]
fn atomics_count_everything_once() {
    for target in ["sm_75", "sm_80"] {
        let oracle = Oracle::open(&format!("histogram.{target}"));
        let x: Vec<i32> = values(7, 10_000).map(|value| ((value + 1.0) * 128.0) as i32 % 251).collect();
        let addresses = [oracle.card.upload(&x), oracle.card.upload(&[0i32; 256]), oracle.card.upload(&[-1i32])];
        let [from, counts, largest] = addresses.map(Result::unwrap);
        let pointers = [from, counts, largest].map(|address| bytes(address.to_le_bytes()));
        let parameters = pointers.into_iter().chain([int(x.len())]).collect();
        oracle.run([x.len().div_ceil(oracle.constant("BLOCK")), 1], parameters);
        let mut expected = vec![0; 256];
        x.iter().for_each(|x| expected[usize::try_from(*x).unwrap()] += 1);
        assert_eq!(oracle.card.download::<i32>(counts, 256).unwrap(), expected, "{target}");
        assert_eq!(oracle.card.download::<i32>(largest, 1).unwrap(), [*x.iter().max().unwrap()], "{target}");
    }
}
