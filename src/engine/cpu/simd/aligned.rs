//! Floats that start at a cache line, so that no vector of them crosses one. Not here: which buffers there are (`plan`).

use crate::engine::cpu::error::NoMemory;
use crate::engine::host::zeros;

/// Bytes of a cache line, and of the longest vector.
const LINE: usize = 64;

/// A vector of zeros whose first element lies at the start of a cache line.
#[derive(Debug, Default)]
pub(crate) struct Aligned {
    values: Vec<f32>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// `len` zeros, or an error where `vec!` would abort the process.
    pub(crate) fn zeros(len: usize) -> Result<Self, NoMemory> {
        let values = zeros(len.saturating_add(LINE / size_of::<f32>()));
        let values = values.map_err(|()| NoMemory(len.saturating_mul(size_of::<f32>())))?;
        let start = values.as_ptr().align_offset(LINE);
        Ok(Self { values, start, len })
    }
}

impl std::ops::Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[self.start..][..self.len]
    }
}

impl std::ops::DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[self.start..][..self.len]
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn starts_at_a_line() {
        for len in [0, 1, 15, 16, 1000] {
            let values = Aligned::zeros(len).unwrap();
            assert_eq!((values.len(), values.as_ptr() as usize % LINE), (len, 0));
        }
        assert!(Aligned::zeros(usize::MAX).is_err());
    }
}
