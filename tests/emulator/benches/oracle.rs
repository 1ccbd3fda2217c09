//! How fast the emulator is: Triton's f16 matrix product of 1024³ (`oracle/`), with all checks and with counters only, in turns. Prints medians,
//! and warp instructions a second.
//!
//! `cargo bench -p cuda-emulator [-- TARGET [SIZE]]`, TARGET sm_80 (tensor cores) or sm_75 (fma).
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program to look at")]

use std::time::Instant;

use cuda_emulator::launch::{self, Launch};
use cuda_emulator::memory::{Kind, Memory};
use cuda_emulator::program::Program;
use cuda_emulator::settings::Settings;

const ROUNDS: usize = 5;
const TILE: u32 = 64;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let target = arguments.first().map_or("sm_80", String::as_str);
    let size: u32 = arguments.get(1).map_or(1024, |size| size.parse().unwrap());
    let path = format!("{}/oracle/whole_matmul_fp16.{target}.ptx", env!("CARGO_MANIFEST_DIR"));
    let memory = Memory::new(1 << 30);
    let program = Program::load(&std::fs::read_to_string(path).unwrap(), 80, &memory).unwrap();
    let kernel = program.kernel("whole_matmul").unwrap();
    let mut parameters = Vec::new();
    for bytes in [2u64, 2, 4] {
        let count = bytes * u64::from(size * size);
        let address = memory.allocate(count, Kind::Device).unwrap().address;
        // halves of 1 + k/1024 for any k: finite, and not all alike
        let values = (0..count / 2).flat_map(|at| (0x3C00 + ((at * 2_654_435_761) >> 7) as u16 % 1024).to_le_bytes());
        memory.write(address, &values.collect::<Vec<u8>>()).unwrap();
        parameters.extend_from_slice(&address.to_le_bytes());
    }
    [size; 3].iter().for_each(|size| parameters.extend_from_slice(&size.to_le_bytes()));
    parameters.resize(kernel.parameter_bytes, 0);
    let shared = if target == "sm_80" { 16384 } else { 8192 };
    let launch =
        Launch { grid: [size / TILE, size / TILE, 1], block: [128, 1, 1], shared, parameters, cooperative: false };
    let mut seconds = [Vec::new(), Vec::new()];
    let mut executed = 0;
    for _ in 0..ROUNDS {
        for (checks, seconds) in [true, false].into_iter().zip(&mut seconds) {
            let settings = Settings { checks, seed: u64::from(checks), ..Settings::default() };
            let began = Instant::now();
            let outcome = launch::run(&kernel, &launch, &memory, &settings).unwrap();
            seconds.push(began.elapsed().as_secs_f64());
            executed = outcome.counts.iter().map(|count| count.executed).sum::<u64>();
        }
    }
    for (what, seconds) in ["all checks", "counters only"].iter().zip(&mut seconds) {
        seconds.sort_by(f64::total_cmp);
        let median = seconds[ROUNDS / 2];
        let rate = executed as f64 / median / 1e6;
        println!(
            "{what:13}: {median:.2} s ({:.2} to {:.2}), {executed} warp instructions, {rate:.1} million a second",
            seconds[0],
            seconds[ROUNDS - 1]
        );
    }
}
