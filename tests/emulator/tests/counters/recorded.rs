//! What Nsight Compute counted, and the same from a report.

use std::collections::BTreeMap;

use cuda_emulator::count::{Class, Count, LaunchReport};
use serde::Deserialize;

#[derive(Deserialize)]
struct Recording {
    launches: Vec<Recorded>,
}

/// A launch on an H100.
#[derive(Deserialize)]
pub(crate) struct Recorded {
    pub(crate) kernel: String,
    pub(crate) grid: [u32; 3],
    pub(crate) block: [u32; 3],
    pub(crate) stride: u64,
    counts: BTreeMap<String, u64>,
}

/// Every launch, in order.
pub(crate) fn recorded() -> Vec<Recorded> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/hardware/recordings/counters.json");
    let recording: Recording = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    recording.launches
}

impl Recorded {
    /// A counter of the profiler.
    pub(crate) fn count(&self, name: &str) -> u64 {
        *self.counts.get(name).unwrap_or_else(|| panic!("{name} was not recorded"))
    }

    /// All of its counters.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.counts.keys().map(String::as_str)
    }

    /// Fails where counters differ; how many were compared.
    pub(crate) fn compare(&self, counters: &[(&'static str, u64)]) -> usize {
        for (name, counted) in counters {
            assert_eq!(*counted, self.count(name), "{} with {}: {name}", self.kernel, self.stride);
        }
        counters.len()
    }
}

/// The counters that follow from what each instruction did to memory.
pub(crate) fn counters(report: &LaunchReport) -> Vec<(&'static str, u64)> {
    let of = |class: Class| report.total(|other| other == class);
    let (load, store) = (of(Class::GlobalLoad), of(Class::GlobalStore));
    let (shared_load, shared_store, matrix) = (of(Class::SharedLoad), of(Class::SharedStore), of(Class::Matrix));
    let mma = report.total(|class| matches!(class, Class::Mma(_))).executed;
    let conflicts = |count: Count| count.wavefronts - count.ideal;
    vec![
        ("smsp__inst_executed_op_global_ld", load.executed),
        ("smsp__inst_executed_op_global_st", store.executed),
        ("l1tex__t_requests_pipe_lsu_mem_global_op_ld", load.requests),
        ("l1tex__t_requests_pipe_lsu_mem_global_op_st", store.requests),
        ("l1tex__t_sectors_pipe_lsu_mem_global_op_ld", load.sectors),
        ("l1tex__t_sectors_pipe_lsu_mem_global_op_st", store.sectors),
        ("lts__t_sectors_srcunit_tex_op_write", store.sectors),
        ("smsp__inst_executed_op_shared_ld", shared_load.executed),
        ("smsp__inst_executed_op_shared_st", shared_store.executed),
        ("smsp__inst_executed_op_ldsm", matrix.executed),
        ("smsp__sass_inst_executed_op_shared_ld", shared_load.executed),
        ("smsp__sass_inst_executed_op_shared_st", shared_store.executed),
        ("smsp__sass_inst_executed_op_ldsm", matrix.executed),
        // The unit counts ldmatrix among loads; what the profiler counts by SASS instruction keeps them apart.
        ("l1tex__data_pipe_lsu_wavefronts_mem_shared_op_ld", shared_load.wavefronts + matrix.wavefronts),
        ("l1tex__data_pipe_lsu_wavefronts_mem_shared_op_st", shared_store.wavefronts),
        ("smsp__sass_l1tex_data_pipe_lsu_wavefronts_mem_shared_op_ld", shared_load.wavefronts),
        ("smsp__sass_l1tex_data_pipe_lsu_wavefronts_mem_shared_op_st", shared_store.wavefronts),
        ("smsp__sass_l1tex_data_pipe_lsu_wavefronts_mem_shared_op_ldsm", matrix.wavefronts),
        ("l1tex__data_bank_conflicts_pipe_lsu_mem_shared", conflicts(report.total(|_| true))),
        ("l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op_ld", conflicts(shared_load) + conflicts(matrix)),
        ("l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op_st", conflicts(shared_store)),
        ("smsp__sass_l1tex_data_bank_conflicts_pipe_lsu_mem_shared_op_ldsm", conflicts(matrix)),
        ("smsp__inst_executed_pipe_tensor", mma),
        ("smsp__inst_executed_pipe_tensor_op_hmma", mma),
        ("sm__inst_executed_pipe_tensor_op_hmma", mma),
    ]
}
