//! The size of the processor's L2 cache, which decides how large strips are. Results do not depend on it. Not here: the strips (`strips`).

use std::sync::OnceLock;

/// Where the processor does not say.
const UNKNOWN: usize = 512 << 10;
/// Of a size outside of these, a hypervisor or an emulator tells a tale.
const PLAUSIBLE: std::ops::RangeInclusive<usize> = 64 << 10..=16 << 20;

/// Bytes of the L2 cache that a logical processor has, which is its part where several share one. The same for the whole life of the process.
pub(crate) fn l2_bytes() -> usize {
    static BYTES: OnceLock<usize> = OnceLock::new();
    *BYTES.get_or_init(|| asked().filter(|bytes| PLAUSIBLE.contains(bytes)).unwrap_or(UNKNOWN))
}

/// As the instruction CPUID says.
#[cfg(target_arch = "x86_64")]
fn asked() -> Option<usize> {
    let caches = raw_cpuid::CpuId::new().get_cache_parameters()?;
    let l2 = caches.filter(|cache| cache.level() == 2).max_by_key(bytes)?;
    Some(bytes(&l2) / l2.max_cores_for_cache().max(1))
}

#[cfg(target_arch = "x86_64")]
fn bytes(cache: &raw_cpuid::CacheParameter) -> usize {
    cache.associativity() * cache.physical_line_partitions() * cache.coherency_line_size() * cache.sets()
}

/// As Linux says of the first processor: `1024K`, and how many share it as a list such as `0-3`.
#[cfg(not(target_arch = "x86_64"))]
fn asked() -> Option<usize> {
    (0..8).map(|index| format!("/sys/devices/system/cpu/cpu0/cache/index{index}")).find_map(|cache| {
        let read = |name: &str| std::fs::read_to_string(format!("{cache}/{name}")).ok();
        let kib: usize = read("size")?.trim().strip_suffix('K')?.parse().ok()?;
        (read("level")?.trim() == "2")
            .then_some((kib << 10) / super::cores::listed(read("shared_cpu_list")?.trim()).max(1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_one_that_processors_have() {
        assert!(PLAUSIBLE.contains(&l2_bytes()), "{} bytes", l2_bytes());
        assert_eq!(l2_bytes(), l2_bytes());
    }
}
