//! What is known of bytes beside what they hold: whether they were ever written, and which block wrote and read them in the present launch.

#![expect(unsafe_code, reason = "atomics from the system's zeroed pages: most of a large shadow is never touched")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};

/// A bit a byte.
pub struct Bits {
    bits: Box<[AtomicU8]>,
}

impl Bits {
    /// None set.
    pub fn new(size: usize) -> Self {
        Self { bits: zeroed(size.div_ceil(8) + 1) }
    }

    /// Sets a range.
    pub fn set(&self, offset: usize, size: usize) {
        let end = offset + size;
        let mut at = offset;
        while at < end {
            let (byte, bit) = (at / 8, at % 8);
            let count = (8 - bit).min(end - at);
            let mask = (((1u16 << count) - 1) << bit) as u8;
            if self.bits[byte].load(Relaxed) & mask != mask {
                self.bits[byte].fetch_or(mask, Relaxed);
            }
            at += count;
        }
    }

    /// Takes back those of up to 16 bytes for which a bit is set.
    pub fn unset(&self, offset: usize, bytes: u16) {
        for at in (0..16).filter(|at| bytes >> at & 1 == 1) {
            self.bits[(offset + at) / 8].fetch_and(!(1 << ((offset + at) % 8)), Relaxed);
        }
    }

    /// A bit for each of up to 16 bytes that is not set.
    pub fn missing(&self, offset: usize, size: usize) -> u16 {
        (0..size).filter(|at| self.first_unset(offset + at, 1).is_some()).fold(0, |missing, at| missing | 1 << at)
    }

    /// The first byte of a range that is not set.
    #[inline(always)]
    pub fn first_unset(&self, offset: usize, size: usize) -> Option<usize> {
        let end = offset + size;
        let mut at = offset;
        while at < end {
            let (byte, bit) = (at / 8, at % 8);
            let count = (8 - bit).min(end - at);
            let mask = (((1u16 << count) - 1) << bit) as u8;
            let missing = !self.bits[byte].load(Relaxed) & mask;
            if missing != 0 {
                return Some(byte * 8 + missing.trailing_zeros() as usize);
            }
            at += count;
        }
        None
    }
}

/// Bits of a launch's number in an entry, and of a block's.
const LAUNCH_BITS: u32 = 10;
const BLOCK_BITS: u32 = 32 - LAUNCH_BITS;

/// After so many launches numbers come round, and shadows must forget.
pub(super) const LAUNCHES: u32 = (1 << LAUNCH_BITS) - 1;

/// Read by more than one block.
const SEVERAL: u32 = (1 << BLOCK_BITS) - 1;

/// Who is at work: a block of a launch, as entries name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worker(u32);

impl Worker {
    /// Block numbers beyond four million fall together; nothing else is lost.
    pub fn new(launch: u32, block: u64) -> Self {
        let launch = launch % LAUNCHES + 1;
        Self(launch << BLOCK_BITS | (block % u64::from(SEVERAL)) as u32)
    }

    fn launch(entry: u32) -> u32 {
        entry >> BLOCK_BITS
    }

    /// Its block.
    pub fn block(self) -> u32 {
        self.0 & SEVERAL
    }
}

/// Who read and wrote memory in the present launch. A granule is the narrowest access that the running kernel makes, so that each access
/// covers whole granules; entries of earlier launches are stale by their number.
pub struct Shadow {
    size: usize,
    writers: [OnceLock<Box<[AtomicU32]>>; 5],
    readers: [OnceLock<Box<[AtomicU32]>>; 5],
    /// The last launch that read, and that wrote, each sector of 32 bytes.
    sectors: [OnceLock<Box<[AtomicU32]>>; 2],
}

/// Another block was there in the same launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// It wrote what is read.
    Written(u32),
    /// It wrote what is written.
    Overwritten(u32),
    /// It read what is written; None for several.
    Read(Option<u32>),
}

impl Shadow {
    /// Nobody was there.
    pub fn new(size: usize) -> Self {
        Self { size, writers: Default::default(), readers: Default::default(), sectors: Default::default() }
    }

    fn entries<'a>(&self, all: &'a [OnceLock<Box<[AtomicU32]>>; 5], granule: usize) -> &'a [AtomicU32] {
        let log = (granule.trailing_zeros() as usize).min(4);
        all[log].get_or_init(|| zeroed_words(self.size.div_ceil(granule) + 16))
    }

    /// Whether a sector of 32 bytes is read for the first time in a launch.
    #[inline(always)]
    pub fn first_read(&self, launch: u32, offset: usize) -> bool {
        self.first(0, launch, offset)
    }

    /// Whether a sector of 32 bytes is written for the first time in a launch.
    #[inline(always)]
    pub fn first_written(&self, launch: u32, offset: usize) -> bool {
        self.first(1, launch, offset)
    }

    /// Whether a sector of 32 bytes was written in a launch.
    #[inline(always)]
    pub fn is_written(&self, launch: u32, offset: usize) -> bool {
        let sectors = self.sectors[1].get();
        sectors.is_some_and(|sectors| sectors[offset / 32].load(Relaxed) == launch.wrapping_add(1))
    }

    #[inline(always)]
    fn first(&self, direction: usize, launch: u32, offset: usize) -> bool {
        let sectors = self.sectors[direction].get_or_init(|| zeroed_words(self.size / 32 + 1));
        let sector = &sectors[offset / 32];
        let launch = launch.wrapping_add(1);
        sector.load(Relaxed) != launch && sector.swap(launch, Relaxed) != launch
    }

    /// Forgets everything, before launch numbers come round.
    pub fn forget(&self) {
        for entries in self.writers.iter().chain(&self.readers).filter_map(OnceLock::get) {
            entries.iter().for_each(|entry| entry.store(0, Relaxed));
        }
    }

    /// Notes a write of whole granules.
    ///
    /// # Errors
    /// The conflict with another block, for which `excused` says whether it is ordered before.
    #[inline(always)]
    pub fn write(
        &self,
        worker: Worker,
        offset: usize,
        size: usize,
        granule: usize,
        excused: impl Fn(Option<u32>) -> bool,
    ) -> Result<(), Conflict> {
        let (first, count) = (offset / granule, size.div_ceil(granule));
        let writers = &self.entries(&self.writers, granule)[first..first + count];
        let readers = &self.entries(&self.readers, granule)[first..first + count];
        for (writer, reader) in writers.iter().zip(readers) {
            let old = writer.load(Relaxed);
            if old != worker.0 {
                writer.store(worker.0, Relaxed);
                if Worker::launch(old) == Worker::launch(worker.0) && !excused(Some(old & SEVERAL)) {
                    return Err(Conflict::Overwritten(old & SEVERAL));
                }
            }
            let old = reader.load(Relaxed);
            if old != worker.0 && Worker::launch(old) == Worker::launch(worker.0) {
                let block = Some(old & SEVERAL).filter(|block| *block != SEVERAL);
                if !excused(block) {
                    return Err(Conflict::Read(block));
                }
            }
        }
        Ok(())
    }

    /// Notes a read of whole granules; `constant` for one through the path that no write of the launch reaches, the own block's neither;
    /// `strong` for one that may race with its like, and so is not noted.
    ///
    /// # Errors
    /// As for a write.
    #[inline(always)]
    pub fn read(
        &self,
        worker: Worker,
        offset: usize,
        size: usize,
        granule: usize,
        [constant, strong]: [bool; 2],
        excused: impl Fn(Option<u32>) -> bool,
    ) -> Result<(), Conflict> {
        let (first, count) = (offset / granule, size.div_ceil(granule));
        let writers = &self.entries(&self.writers, granule)[first..first + count];
        let readers = &self.entries(&self.readers, granule)[first..first + count];
        for (writer, reader) in writers.iter().zip(readers) {
            let old = writer.load(Relaxed);
            if Worker::launch(old) == Worker::launch(worker.0)
                && (constant || old != worker.0 && !excused(Some(old & SEVERAL)))
            {
                return Err(Conflict::Written(old & SEVERAL));
            }
            let old = reader.load(Relaxed);
            if old == worker.0 || strong {
                continue;
            }
            // A reader that is ordered before this one need not be remembered beside it: who is ordered after this one is after both. So
            // blocks may take turns. Of several readers that are not ordered nothing more can be said.
            let shared = Worker::launch(old) == Worker::launch(worker.0);
            let beside = shared && (old & SEVERAL == SEVERAL || !excused(Some(old & SEVERAL)));
            reader.store(if beside { worker.0 | SEVERAL } else { worker.0 }, Relaxed);
        }
        Ok(())
    }
}

/// Bytes that take no memory until they are touched.
fn zeroed(size: usize) -> Box<[AtomicU8]> {
    // SAFETY: an atomic of zero bytes is a zero.
    unsafe { Box::new_zeroed_slice(size).assume_init() }
}

fn zeroed_words(size: usize) -> Box<[AtomicU32]> {
    // SAFETY: as above.
    unsafe { Box::new_zeroed_slice(size).assume_init() }
}
