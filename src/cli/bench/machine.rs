//! What the figures depend on beside the program: the processor, its cores, the memory that was needed. Where the system does
//! not tell (elsewhere than on Linux), nothing is said.

/// The machine as a reader of the figures needs to know it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Machine {
    /// The processor's name, as its maker calls it.
    pub(super) cpu: Option<String>,
    /// Cores that this process may use.
    pub(super) cores: usize,
}

impl Machine {
    pub(super) fn this() -> Self {
        let cpu = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| field(&text, "model name"));
        Self { cpu, cores: std::thread::available_parallelism().map_or(1, usize::from) }
    }

    /// The processor in words.
    pub(super) fn name(&self) -> &str {
        self.cpu.as_deref().unwrap_or(std::env::consts::ARCH)
    }
}

/// The most memory that was resident since the process began, in bytes.
pub(super) fn peak_memory() -> Option<u64> {
    high_water(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn high_water(status: &str) -> Option<u64> {
    let kibibytes = field(status, "VmHWM")?.strip_suffix(" kB")?.parse::<u64>().ok()?;
    Some(kibibytes * 1024)
}

/// The value of the first line `name : value`.
fn field(text: &str, name: &str) -> Option<String> {
    let values = text.lines().filter_map(|line| line.split_once(':')).filter(|(key, _)| key.trim() == name);
    values.map(|(_, value)| value.trim().to_owned()).find(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_files_are_read_as_they_are() {
        let cpuinfo =
            "processor\t: 0\nmodel\t\t: 1\nmodel name\t: AMD EPYC: 2 GHz\n\nprocessor\t: 1\nmodel name\t: other\n";
        assert_eq!(field(cpuinfo, "model name").as_deref(), Some("AMD EPYC: 2 GHz"));
        assert_eq!(high_water("Name:\tconvnext\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n"), Some(2 << 20));
        for unknown in ["", "VmHWM:\n", "VmHWM:\t2 MB\n"] {
            assert_eq!(high_water(unknown), None, "{unknown:?}");
        }
    }
}
