//! What the environment asks of the emulator. Read once, when a client calls `cuInit`.

use std::path::PathBuf;

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `CUDA_EMULATOR_SM`: the compute capability, 75, 80, 86, 89 or 90.
    pub sm: u32,
    /// `CUDA_EMULATOR_DEVICES`: how many devices there are, 1 to 8, all of this capability.
    pub devices: usize,
    /// `CUDA_EMULATOR_MULTIPROCESSORS`: how many the card has, for cards of the same capability that differ in that: 128 make the L4 an RTX 4090.
    pub multiprocessors: Option<u32>,
    /// `CUDA_EMULATOR_CHECKS=0`: only counts, and runs faster.
    pub checks: bool,
    /// `CUDA_EMULATOR_BLOCKS`: no more than so many blocks of each launch run, evenly apart, so that large grids can be counted. What they compute is
    /// then incomplete, and checks are off.
    pub blocks: Option<u64>,
    /// `CUDA_EMULATOR_REPORT`: where the counters go when the client ends or resets its context: as JSON, or for people in a file `*.txt`.
    pub report: Option<PathBuf>,
    /// `CUDA_EMULATOR_SASS`: the table that `cargo xtask kernels` writes, from which the report takes registers and instructions as assembled.
    pub assembled: Option<PathBuf>,
    /// `CUDA_EMULATOR_FAULT`: a fault to bring about.
    pub fault: Option<Planted>,
    /// The device that has it, which is said after `@`.
    pub faulty: usize,
    /// `CUDA_EMULATOR_SEED`: from where the order of warps and blocks and the errors of approximations are drawn; 0 for the natural order and
    /// no errors, as always where blocks are sampled.
    pub seed: u64,
    /// `CUDA_EMULATOR_THREADS`: how many blocks run at once.
    pub threads: usize,
}

/// A fault that the client must live through, of one device, whose launches and allocations count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Planted {
    /// `kernel:N`: the launch of this number, from 1, fails as if it had accessed memory that is none.
    Kernel(u64),
    /// `oom:N`: the allocation of this number finds no memory.
    OutOfMemory(u64),
    /// `lost:N`: with the launch of this number the device is lost.
    Lost(u64),
    /// `wrong:NAME`: what the kernel of this name stores is not what it computed, in every number: by a sixteenth in f16, by a half in bf16 and f32.
    Wrong(String),
}

/// The environment says what the emulator cannot do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable}={value}: {needed}")]
pub struct Error {
    variable: &'static str,
    value: String,
    needed: &'static str,
}

impl Default for Settings {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            sm: 80,
            devices: 1,
            multiprocessors: None,
            checks: true,
            blocks: None,
            report: None,
            assembled: None,
            fault: None,
            faulty: 0,
            seed: 1,
            threads,
        }
    }
}

impl Settings {
    /// From variables that a function looks up.
    ///
    /// # Errors
    /// The first variable that is not understood.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let mut settings = Self::default();
        let number = |name: &'static str, needed: &'static str| match variable(name) {
            None => Ok(None),
            Some(value) => value.parse::<u64>().map(Some).map_err(|_| Error { variable: name, value, needed }),
        };
        if let Some(sm) = number("CUDA_EMULATOR_SM", SM)? {
            settings.sm = u32::try_from(sm)
                .ok()
                .filter(|sm| [75, 80, 86, 89, 90].contains(sm))
                .ok_or_else(|| Error { variable: "CUDA_EMULATOR_SM", value: sm.to_string(), needed: SM })?;
        }
        if let Some(devices) = number("CUDA_EMULATOR_DEVICES", DEVICES)? {
            settings.devices =
                usize::try_from(devices).ok().filter(|devices| (1..=8).contains(devices)).ok_or_else(|| Error {
                    variable: "CUDA_EMULATOR_DEVICES",
                    value: devices.to_string(),
                    needed: DEVICES,
                })?;
        }
        let most = "1 to 1024";
        if let Some(count) = number("CUDA_EMULATOR_MULTIPROCESSORS", most)? {
            let found = u32::try_from(count).ok().filter(|count| (1..=1024).contains(count));
            let error = Error { variable: "CUDA_EMULATOR_MULTIPROCESSORS", value: count.to_string(), needed: most };
            settings.multiprocessors = Some(found.ok_or(error)?);
        }
        settings.checks = number("CUDA_EMULATOR_CHECKS", "0 or 1")?.is_none_or(|checks| checks != 0);
        settings.blocks = number("CUDA_EMULATOR_BLOCKS", "a number of blocks, at least 1")?.map(|blocks| blocks.max(1));
        settings.checks &= settings.blocks.is_none();
        settings.seed = number("CUDA_EMULATOR_SEED", "a number")?.unwrap_or(settings.seed);
        if settings.blocks.is_some() {
            // drawn orders find faults, which nobody looks for here; but diverged warps then meet later or earlier, and counts differ
            settings.seed = 0;
        }
        if let Some(threads) = number("CUDA_EMULATOR_THREADS", "a number of threads")? {
            settings.threads = usize::try_from(threads).unwrap_or(1).max(1);
        }
        settings.report = variable("CUDA_EMULATOR_REPORT").map(PathBuf::from);
        settings.assembled = variable("CUDA_EMULATOR_SASS").map(PathBuf::from);
        if let Some(value) = variable("CUDA_EMULATOR_FAULT") {
            let (what, device) = value.rsplit_once('@').unwrap_or((&value, "0"));
            let device = device.parse().ok().filter(|device| *device < settings.devices);
            let planted = what.split_once(':').and_then(|(kind, number)| {
                let count = || number.parse().ok();
                match kind {
                    "kernel" => count().map(Planted::Kernel),
                    "oom" => count().map(Planted::OutOfMemory),
                    "lost" => count().map(Planted::Lost),
                    "wrong" => Some(Planted::Wrong(number.to_owned())),
                    _ => None,
                }
            });
            let needed = "kernel:N, oom:N, lost:N or wrong:NAME, and @D for another device than 0";
            let planted = planted.zip(device).ok_or(Error { variable: "CUDA_EMULATOR_FAULT", value, needed })?;
            (settings.fault, settings.faulty) = (Some(planted.0), planted.1);
        }
        Ok(settings)
    }
}

const DEVICES: &str = "a number of devices, 1 to 8";
const SM: &str = "75, 80, 86, 89 or 90";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read_and_what_is_not_understood_is_named() {
        let read =
            |name: &'static str, value: &'static str| Settings::read(|asked| (asked == name).then(|| value.to_owned()));
        assert_eq!(Settings::read(|_| None).unwrap(), Settings::default());
        assert_eq!(read("CUDA_EMULATOR_SM", "89").unwrap().sm, 89);
        assert_eq!(read("CUDA_EMULATOR_FAULT", "oom:3").unwrap().fault, Some(Planted::OutOfMemory(3)));
        let wrong = read("CUDA_EMULATOR_FAULT", "wrong:pool_f16").unwrap().fault;
        assert_eq!(wrong, Some(Planted::Wrong("pool_f16".to_owned())));
        assert!(read("CUDA_EMULATOR_FAULT", "lost:soon").is_err());
        assert!(!read("CUDA_EMULATOR_CHECKS", "0").unwrap().checks);
        assert_eq!(read("CUDA_EMULATOR_MULTIPROCESSORS", "128").unwrap().multiprocessors, Some(128));
        assert!(read("CUDA_EMULATOR_MULTIPROCESSORS", "0").is_err());
        let sampled = read("CUDA_EMULATOR_BLOCKS", "4").unwrap();
        assert_eq!((sampled.blocks, sampled.checks, sampled.seed), (Some(4), false, 0));
        let error = read("CUDA_EMULATOR_SM", "70").unwrap_err().to_string();
        assert_eq!(error, "CUDA_EMULATOR_SM=70: 75, 80, 86, 89 or 90");
        assert!(read("CUDA_EMULATOR_FAULT", "all").is_err());
        assert_eq!(read("CUDA_EMULATOR_DEVICES", "8").unwrap().devices, 8);
        for devices in ["0", "9", "two"] {
            assert!(read("CUDA_EMULATOR_DEVICES", devices).is_err());
        }
    }

    #[test]
    fn a_fault_is_one_devices_which_must_be_there() {
        let read = |fault: &'static str| {
            Settings::read(|asked| match asked {
                "CUDA_EMULATOR_DEVICES" => Some("2".to_owned()),
                "CUDA_EMULATOR_FAULT" => Some(fault.to_owned()),
                _ => None,
            })
        };
        for (fault, planted, faulty) in [
            ("kernel:7", Planted::Kernel(7), 0),
            ("kernel:7@1", Planted::Kernel(7), 1),
            ("wrong:pool_f16@1", Planted::Wrong("pool_f16".to_owned()), 1),
        ] {
            let settings = read(fault).unwrap();
            assert_eq!((settings.fault, settings.faulty), (Some(planted), faulty));
        }
        for fault in ["kernel:7@2", "kernel:7@", "kernel@1", "kernel:7@one"] {
            assert!(read(fault).is_err(), "{fault}");
        }
    }
}
