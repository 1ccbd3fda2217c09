//! Numbers that start at a cache line, so that vectors of them lie inside one.

use super::NAME;
use crate::engine::LoadError;
use crate::engine::host::{free_memory, zeros};

/// Bytes of a cache line, and of the longest vector.
const LINE: usize = 64;

/// The machine has no memory for so many bytes.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no memory for {} MB", .0.div_ceil(1_000_000))]
pub(super) struct NoMemory(usize);

impl NoMemory {
    /// The error of loading, where these bytes were for `what`.
    pub(super) fn of(self, what: &'static str) -> LoadError {
        LoadError::OutOfMemory { device: NAME.to_owned(), what, needed: self.0 as u64, free: free_memory() }
    }
}

/// A vector of zeros whose first element lies at the start of a cache line.
#[derive(Debug, Default)]
pub(super) struct Aligned {
    values: Vec<f32>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// `len` zeros, or an error where a plain vector would abort the process.
    pub(super) fn zeros(len: usize) -> Result<Self, NoMemory> {
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
