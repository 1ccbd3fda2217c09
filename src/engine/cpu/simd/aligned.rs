//! Floats that start at a cache line, so that no vector of them crosses one. Not here: which buffers there are (`plan`).
//!
//! Large buffers are pages of their own, straight from the system, to which they go back when a model goes. In malloc's heap they
//! would leave holes between what lives on: a server whose models are reloaded would keep the memory of several.

use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

use crate::engine::cpu::error::NoMemory;
use crate::engine::host::zeros;

/// Bytes of a cache line, and of the longest vector.
const LINE: usize = 64;
/// Bytes from which a buffer has pages of its own: half a page of 4 KiB, which is left unused on average, is little beside it.
const LARGE: usize = 64 << 10;

/// Zeros at first; the first element lies at the start of a cache line.
#[derive(Debug)]
pub(crate) struct Aligned(Memory);

#[derive(Debug)]
enum Memory {
    /// `len` elements from `start`.
    Heap { values: Vec<f32>, start: usize, len: usize },
    /// Elements from the first byte, which the system aligns. It rounds up to whole pages by itself.
    Pages(MmapMut),
}

impl Default for Aligned {
    fn default() -> Self {
        Self(Memory::Heap { values: Vec::new(), start: 0, len: 0 })
    }
}

impl Aligned {
    /// `len` zeros, or an error where `vec!` would abort the process.
    pub(crate) fn zeros(len: usize) -> Result<Self, NoMemory> {
        let bytes = len.saturating_mul(size_of::<f32>());
        let no_memory = NoMemory(bytes);
        if bytes >= LARGE {
            // more than half of the address space cannot be asked for
            let pages = isize::try_from(bytes).map_err(|_| no_memory)?;
            return MmapMut::map_anon(pages as usize).map(|pages| Self(Memory::Pages(pages))).map_err(|_| no_memory);
        }
        let values = zeros(len + LINE / size_of::<f32>()).map_err(|()| no_memory)?;
        let start = values.as_ptr().align_offset(LINE);
        Ok(Self(Memory::Heap { values, start, len }))
    }
}

impl Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &self.0 {
            Memory::Heap { values, start, len } => &values[*start..][..*len],
            Memory::Pages(pages) => bytemuck::cast_slice(pages),
        }
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        match &mut self.0 {
            Memory::Heap { values, start, len } => &mut values[*start..][..*len],
            Memory::Pages(pages) => bytemuck::cast_slice_mut(pages),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn starts_at_a_line_and_is_zero() {
        let large = LARGE / size_of::<f32>();
        for len in [0, 1, 15, 16, 1000, large - 1, large, large + 1, 10 * large + 7] {
            let mut values = Aligned::zeros(len).unwrap();
            assert_eq!((values.len(), values.as_ptr() as usize % LINE), (len, 0));
            assert!(values.iter().all(|value| *value == 0.0));
            values.iter_mut().for_each(|value| *value = 1.0);
            assert_eq!(values.iter().sum::<f32>() as usize, len);
        }
        assert!(Aligned::default().is_empty());
    }

    #[test]
    fn more_than_there_is_is_an_error() {
        for len in [usize::MAX, usize::MAX / 4, usize::MAX / 8, 1 << 46] {
            assert!(Aligned::zeros(len).is_err(), "{len}");
        }
    }
}
