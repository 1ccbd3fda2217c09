//! `hardware/ptx/counted.ptx` as the emulator executes it, beside what Nsight Compute counted of it.

use std::collections::BTreeSet;

use cuda_emulator::count::{Class, LaunchReport};
use cuda_emulator::launch::{self, Launch};
use cuda_emulator::memory::{Kind, Memory};
use cuda_emulator::program::Program;
use cuda_emulator::settings::Settings;

use crate::recorded::{Recorded, counters, recorded};

/// Runs a kernel whose parameters are addresses of a buffer to write and one to read, and a number.
pub(crate) fn launched(text: &str, sm: u32, kernel: &str, shape: [[u32; 3]; 2], number: u32) -> LaunchReport {
    let memory = Memory::new(1 << 30);
    let size = 4 << 20;
    let [out, source] = [0, 1].map(|_| memory.allocate(size, Kind::Device).unwrap().address);
    memory.write(source, &vec![0; size as usize]).unwrap();
    let program = Program::load(text, sm, &memory).unwrap_or_else(|error| panic!("{error}"));
    let kernel = program.kernel(kernel).unwrap();
    let mut parameters = [out, source].map(u64::to_le_bytes).concat();
    parameters.extend(number.to_le_bytes());
    let launch = Launch { grid: shape[0], block: shape[1], shared: 0, parameters, cooperative: false };
    let settings = Settings { sm, ..Settings::default() };
    let outcome = launch::run(&kernel, &launch, &memory, &settings).unwrap_or_else(|failure| panic!("{failure}"));
    LaunchReport::of(&kernel, &launch, &outcome, &launch::scalars(&launch, &memory))
}

/// Counters for which one must know more than what instructions did to memory. Compared only with counted.ptx.
fn more(launch: &Recorded, report: &LaunchReport, text: &str) -> Vec<(&'static str, u64)> {
    let threads: Vec<_> = text.lines().map(|line| line.contains("%tid")).collect();
    // A special register of threads is read through the pipe of loads and stores, and a result comes back as one wavefront.
    let reads = report.lines.iter().filter(|line| threads[line.line - 1]).map(|line| line.count.executed).sum::<u64>();
    let barrier = report.lines.iter().any(|line| line.text.starts_with("bar") && line.count.executed > 0);
    let all = report.total(|_| true);
    let accesses = [Class::GlobalLoad, Class::GlobalStore, Class::SharedLoad, Class::SharedStore, Class::Matrix];
    let memory = report.total(|class| accesses.contains(&class));
    let loads = report.total(|class| class == Class::GlobalLoad);
    let blocks = report.shape.blocks();
    // Only copy_shifted reads anything twice, and how much of it the L1 cache still has is the card's affair.
    let hits = launch.count("l1tex__t_sectors_pipe_lsu_mem_global_op_ld_lookup_hit");
    vec![
        ("sm__warps_launched", report.shape.warps() * blocks),
        ("smsp__inst_executed_pipe_lsu", memory.executed + reads),
        // A barrier costs a wavefront a block.
        ("l1tex__data_pipe_lsu_wavefronts_mem_shared", all.wavefronts + reads + if barrier { blocks } else { 0 }),
        ("lts__t_sectors_srcunit_tex_op_read", loads.sectors - hits),
    ]
}

/// Why the rest is not compared.
const NOT_COMPARED: [(&str, &str); 10] = [
    ("smsp__inst_executed", "SASS: parameters are operands, addresses are fused, registers are not moved"),
    ("smsp__thread_inst_executed", "SASS"),
    ("smsp__inst_issued", "SASS, and what is issued again"),
    ("l1tex__t_sectors_pipe_lsu_mem_global_op_ld_lookup_hit", "a cache"),
    ("l1tex__t_output_wavefronts_pipe_lsu_mem_global_op_ld", "a cache's inside"),
    ("l1tex__data_bank_conflicts_pipe_lsu", "a cache's inside beside shared memory"),
    ("l1tex__data_pipe_lsu_wavefronts", "a cache's inside beside shared memory"),
    ("lts__t_requests_srcunit_tex", "how the L1 cache bundles sectors"),
    ("dram__sectors_read", "caches, and 64 bytes at a time"),
    ("dram__sectors_write", "the L2 cache keeps what was written"),
];

#[test]
fn counters_of_an_h100_are_reproduced() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/hardware/ptx/counted.ptx")).unwrap();
    let launches = recorded();
    for launch in &launches {
        let shape = [launch.grid, launch.block];
        let report = launched(&text, 90, &launch.kernel, shape, launch.stride as u32);
        let mut all = counters(&report);
        all.extend(more(launch, &report, &text));
        launch.compare(&all);
        let compared: BTreeSet<_> = all.iter().map(|(name, _)| *name).collect();
        let left: BTreeSet<_> = launch.names().filter(|name| !compared.contains(name)).collect();
        assert_eq!(
            left,
            NOT_COMPARED.iter().map(|(name, _)| *name).collect(),
            "each counter is compared, or there is a reason"
        );
    }
    assert_eq!(launches.len(), 37);
}
