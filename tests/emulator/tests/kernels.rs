//! The project's own kernels compute what their heads say, on every row length that a model has and in every type, for both targets, with all
//! checks: no race, no read of what nobody wrote, whatever the order of warps.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod client;

use client::Card;
use half::{bf16, f16};

/// A type of storage: its name, and its rounding unit.
const TYPES: [(&str, f64); 3] = [("f32", 6e-8), ("f16", 4.9e-4), ("bf16", 3.9e-3)];

fn ptx(target: &str) -> String {
    let path = format!("{}/../../kernels/ptx/layer_norm.{target}.ptx", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

fn narrow(ty: &str, value: f32) -> Vec<u8> {
    match ty {
        "f32" => value.to_le_bytes().to_vec(),
        "f16" => f16::from_f32(value).to_le_bytes().to_vec(),
        _ => bf16::from_f32(value).to_le_bytes().to_vec(),
    }
}

fn wide(ty: &str, bytes: &[u8]) -> f64 {
    match ty {
        "f32" => f64::from(f32::from_le_bytes(bytes.try_into().unwrap())),
        "f16" => f16::from_le_bytes(bytes.try_into().unwrap()).to_f64(),
        _ => bf16::from_le_bytes(bytes.try_into().unwrap()).to_f64(),
    }
}

/// Lanes of a row, as the kernel's head has it.
fn lanes(channels: usize, width: usize) -> usize {
    let least = channels.div_ceil(16).max(channels.div_ceil(width).min(32));
    least.next_power_of_two()
}

/// Rows around a mean that is far from zero: a variance by E[x²] − mean² would lose all digits.
fn layer_norm(card: &Card, ptx: &str, (ty, unit): (&str, f64), channels: usize) {
    const ROWS: usize = 11;
    const EPS: f32 = 1e-6;
    let kernel = card.kernel(ptx, &format!("layer_norm_{ty}")).unwrap();
    let size = if ty == "f32" { 4 } else { 2 };
    let value = |row: usize, at: usize| 20.0 + ((row * 31 + at * 17) % 97) as f32 / 8.0;
    let input: Vec<u8> = (0..ROWS * channels).flat_map(|i| narrow(ty, value(i / channels, i % channels))).collect();
    let scale: Vec<f32> = (0..channels).map(|at| 0.5 + (at % 5) as f32 / 4.0).collect();
    let shift: Vec<f32> = (0..channels).map(|at| (at % 7) as f32 / 8.0 - 0.25).collect();
    let addresses = [card.upload(&input), card.allocate(input.len()), card.upload(&scale), card.upload(&shift)];
    let addresses = addresses.map(Result::unwrap);
    let mut structure: Vec<u8> = addresses.iter().flat_map(|address| address.to_le_bytes()).collect();
    structure.extend((ROWS as u32).to_le_bytes());
    structure.extend((channels as u32).to_le_bytes());
    structure.extend(EPS.to_le_bytes());
    structure.resize(structure.len().next_multiple_of(8), 0);
    let lanes = lanes(channels, 16 / size);
    let rows = (64 / lanes).max(1);
    let grid = ROWS.div_ceil(rows).min(3); // fewer blocks than rows ask for: each takes several turns
    card.launch(kernel, [grid as u32, 1, 1], [lanes as u32, rows as u32, 1], 0, &[structure]).unwrap();
    card.synchronize().unwrap();
    let output: Vec<u8> = card.download(addresses[1], input.len()).unwrap();
    for row in 0..ROWS {
        let x: Vec<f64> = (0..channels).map(|at| wide(ty, &input[(row * channels + at) * size..][..size])).collect();
        let mean = x.iter().sum::<f64>() / channels as f64;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / channels as f64;
        for at in 0..channels {
            let normed = (x[at] - mean) / (variance + f64::from(EPS)).sqrt();
            let expected = normed * f64::from(scale[at]) + f64::from(shift[at]);
            let found = wide(ty, &output[(row * channels + at) * size..][..size]);
            // what storing costs, and sums in f32 of values near 30
            let bound = unit * expected.abs() + 2e-6 * (1.0 + normed.abs());
            let off = (found - expected).abs();
            assert!(off <= bound, "{ty}, {channels} channels, row {row} at {at}: {found} for {expected}");
        }
    }
    addresses.into_iter().for_each(|address| card.free(address).unwrap());
    card.unload(kernel).unwrap();
}

#[test]
fn layer_norm_in_every_type_and_length() {
    let card = Card::open();
    for target in ["sm_75", "sm_80"] {
        let ptx = ptx(target);
        for ty in TYPES.into_iter().filter(|(ty, _)| target == "sm_80" || *ty != "bf16") {
            // ConvNeXt's and Swin's rows, among them the patch merging's 4 C, and lengths that no vector divides
            for channels in [2, 40, 66, 80, 96, 192, 320, 384, 768, 1536, 2048, 3072, 4096] {
                layer_norm(&card, &ptx, ty, channels);
            }
        }
    }
}
