//! Instruction sets: those that kernels are compiled for, those that this machine has, and the choice between them.
//!
//! Not here: the kernels, which are written once for vectors of any length.

use std::fmt;
use std::str::FromStr;

use pulp::{Simd, WithSimd};

#[cfg(target_arch = "x86_64")]
use crate::engine::cpu::simd::amx::Amx;

/// An instruction set that this machine has and that kernels are compiled for.
#[derive(Clone, Copy, Debug)]
pub struct Instructions(Set);

#[derive(Clone, Copy, Debug)]
enum Set {
    /// AVX-512 with all that processors with AMX have: bf16 and VNNI, whose vectors and sums AMX shares.
    #[cfg(target_arch = "x86_64")]
    Amx(pulp::x86::V4, Amx),
    #[cfg(target_arch = "x86_64")]
    Avx512(pulp::x86::V4),
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
    #[cfg(target_arch = "aarch64")]
    Neon(pulp::aarch64::Neon),
    /// Four lanes and no fused multiply-add, which every machine has.
    Plain(pulp::Scalar128b),
}

impl Instructions {
    /// All that this machine has, the fastest first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let sets = [
            #[cfg(target_arch = "x86_64")]
            pulp::x86::V4::try_new().zip(Amx::available()).map(|(simd, amx)| Set::Amx(simd, amx)),
            #[cfg(target_arch = "x86_64")]
            pulp::x86::V4::try_new().map(Set::Avx512),
            #[cfg(target_arch = "x86_64")]
            pulp::x86::V3::try_new().map(Set::Avx2),
            #[cfg(target_arch = "aarch64")]
            pulp::aarch64::Neon::try_new().map(Set::Neon),
            Some(Set::Plain(pulp::Scalar128b)),
        ];
        sets.into_iter().flatten().map(Self).collect()
    }

    /// The fastest that this machine has.
    #[must_use]
    pub fn best() -> Self {
        Self::available().first().copied().unwrap_or(Self(Set::Plain(pulp::Scalar128b)))
    }

    /// The name, as `--device cpu:NAME` takes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Amx(..) => "amx",
            #[cfg(target_arch = "x86_64")]
            Set::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2(_) => "avx2",
            #[cfg(target_arch = "aarch64")]
            Set::Neon(_) => "neon",
            Set::Plain(_) => "plain",
        }
    }

    /// Runs a kernel, compiled for these instructions.
    pub(crate) fn run<K: WithSimd>(self, kernel: K) -> K::Output {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Amx(simd, _) | Set::Avx512(simd) => Simd::vectorize(simd, kernel),
            #[cfg(target_arch = "x86_64")]
            Set::Avx2(simd) => Simd::vectorize(simd, kernel),
            #[cfg(target_arch = "aarch64")]
            Set::Neon(simd) => Simd::vectorize(simd, kernel),
            Set::Plain(simd) => Simd::vectorize(simd, kernel),
        }
    }

    /// AMX, where it is one of these instructions.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn amx(self) -> Option<Amx> {
        match self.0 {
            Set::Amx(_, amx) => Some(amx),
            _ => None,
        }
    }

    /// Whether it is NEON, whose vectors are no longer than those of any machine.
    #[cfg(target_arch = "aarch64")]
    pub(crate) fn has_neon(self) -> bool {
        matches!(self.0, Set::Neon(_))
    }

    /// Floats of a vector.
    pub(crate) fn lanes(self) -> usize {
        struct Lanes;
        impl WithSimd for Lanes {
            type Output = usize;
            #[inline(always)]
            fn with_simd<S: Simd>(self, _simd: S) -> usize {
                S::F32_LANES
            }
        }
        self.run(Lanes)
    }
}

impl fmt::Display for Instructions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Instructions {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let available = Self::available();
        let names: Vec<&str> = available.iter().map(|set| set.name()).collect();
        let found = available.iter().find(|set| set.name() == name).copied();
        found.ok_or_else(|| format!("instructions {name:?}: this machine has {}", names.join(", ")))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn each_set_of_this_machine_has_a_name_that_finds_it() {
        let available = Instructions::available();
        assert_eq!(available.last().unwrap().name(), "plain");
        for set in available {
            assert_eq!(set.name().parse::<Instructions>().unwrap().name(), set.name());
            assert!(set.lanes() >= 4 && set.lanes().is_power_of_two());
        }
    }

    #[test]
    fn a_set_that_is_missing_is_named_beside_those_there_are() {
        let error = "mmx".parse::<Instructions>().unwrap_err();
        assert!(error.starts_with("instructions \"mmx\": this machine has ") && error.ends_with("plain"), "{error}");
    }
}
