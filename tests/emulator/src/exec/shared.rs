//! The shared memory of a block, with what is known of each granule: who wrote it and when, who read it, whether a `cp.async` is still on its
//! way to it. Not here: bank conflicts (`count`).

use std::collections::BTreeSet;

use super::clocks::{Clocks, Thread};

/// Bytes and their shadow.
pub struct Shared {
    bytes: Vec<u8>,
    granule: usize,
    warps: usize,
    /// Empty without checks.
    writers: Vec<Writer>,
    /// `[granule][warp]`
    readers: Vec<Reader>,
    /// Bytes of written granules that were copied from where nothing had written them.
    holes: BTreeSet<usize>,
}

/// The last write of a granule.
#[derive(Clone, Copy, Default)]
struct Writer {
    time: u32,
    warp: u8,
    lane: u8,
    state: State,
    strong: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// Nobody wrote it.
    #[default]
    Fresh,
    Written,
    /// A `cp.async` was issued, and nobody has waited for it.
    Pending,
    /// An mbarrier lies there.
    Claimed,
}

/// Which lanes of a warp read a granule, and when.
#[derive(Clone, Copy, Default)]
struct Reader {
    time: u32,
    lanes: u32,
}

/// What is wrong with an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Nobody wrote what is read.
    #[error("nothing has written it")]
    Unwritten,
    /// It is where a `cp.async` is still going.
    #[error("a cp.async to it has not been waited for")]
    Pending,
    /// It is an mbarrier's, which only its instructions may touch until it is invalidated.
    #[error("an mbarrier is there, which was not invalidated")]
    Claimed,
    /// No mbarrier was initialised there, or another write came since.
    #[error("no mbarrier was initialised there")]
    Unclaimed,
    /// A write, and no barrier since.
    #[error("warp {} lane {} wrote it, and no barrier stands between", .0.warp, .0.lane)]
    AfterWrite(Thread),
    /// A read, and no barrier since.
    #[error("warp {} lane {} read it, and no barrier stands between", .0.warp, .0.lane)]
    AfterRead(Thread),
}

impl Shared {
    /// Poisoned memory for a block of so many warps; with checks a shadow of this granule.
    pub fn new(size: usize, warps: usize, granule: usize, checks: bool) -> Self {
        let granules = if checks { size.div_ceil(granule) + 16 } else { 0 };
        Self {
            bytes: vec![0xFF; size.next_multiple_of(16)],
            granule,
            warps,
            writers: vec![Writer::default(); granules],
            readers: vec![Reader::default(); granules * warps],
            holes: BTreeSet::new(),
        }
    }

    /// In bytes.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Up to 16 bytes, the first lowest. They lie within, as the caller has checked.
    #[inline(always)]
    pub fn load(&self, offset: usize, size: usize) -> u128 {
        let bytes = &self.bytes[offset..offset + size];
        match *bytes {
            [a, b, c, d] => u128::from(u32::from_le_bytes([a, b, c, d])),
            _ if size == 16 => {
                let mut all = [0; 16];
                all.copy_from_slice(bytes);
                u128::from_le_bytes(all)
            }
            _ => {
                let mut all = [0; 16];
                all[..size].copy_from_slice(bytes);
                u128::from_le_bytes(all)
            }
        }
    }

    /// Stores the low bytes.
    #[inline(always)]
    pub fn store(&mut self, offset: usize, size: usize, value: u128) {
        self.bytes[offset..offset + size].copy_from_slice(&value.to_le_bytes()[..size]);
    }

    /// Notes a read.
    #[inline(always)]
    pub fn read(
        &mut self,
        thread: Thread,
        offset: usize,
        size: usize,
        strong: bool,
        clocks: &Clocks,
    ) -> Result<(), Conflict> {
        if self.writers.is_empty() {
            return Ok(());
        }
        let now = clocks.now(thread.warp);
        for granule in offset / self.granule..(offset + size).div_ceil(self.granule) {
            let writer = self.writers[granule];
            if writer.state != State::Written {
                return Err(unreadable(writer.state));
            }
            let by = Thread { warp: usize::from(writer.warp), lane: usize::from(writer.lane) };
            if !(strong && writer.strong || clocks.ordered(by, writer.time, thread)) {
                return Err(Conflict::AfterWrite(by));
            }
            if !strong {
                self.note(thread, granule, now);
            }
        }
        if !self.holes.is_empty() && self.missing(offset, size) != 0 { Err(Conflict::Unwritten) } else { Ok(()) }
    }

    /// A bit for each of up to 16 bytes that nothing has written.
    #[cold]
    pub fn missing(&self, offset: usize, size: usize) -> u16 {
        let fresh = |at: &usize| {
            let writer = self.writers.get((offset + at) / self.granule);
            writer.is_some_and(|writer| writer.state == State::Fresh) || self.holes.contains(&(offset + at))
        };
        (0..size).filter(fresh).fold(0, |missing, at| missing | 1 << at)
    }

    /// Notes a read of what is partly unwritten: of the granules that are not.
    pub fn read_written(
        &mut self,
        thread: Thread,
        offset: usize,
        size: usize,
        strong: bool,
        clocks: &Clocks,
    ) -> Result<(), Conflict> {
        for granule in offset / self.granule..(offset + size).div_ceil(self.granule) {
            match self.read(thread, granule * self.granule, self.granule, strong, clocks) {
                // which of its bytes, the caller knows
                Ok(()) | Err(Conflict::Unwritten) => {}
                other => return other,
            }
        }
        Ok(())
    }

    /// Says of bytes that were just stored that nothing has written them.
    pub fn forget(&mut self, offset: usize, bytes: u16) {
        if !self.writers.is_empty() {
            self.holes.extend((0..16).filter(|at| bytes >> at & 1 == 1).map(|at| offset + at));
        }
    }

    /// Bytes are written: none of them is a hole any more.
    #[inline(always)]
    fn fill(&mut self, offset: usize, size: usize) {
        if !self.holes.is_empty() {
            while let Some(hole) = self.holes.range(offset..offset + size).next().copied() {
                self.holes.remove(&hole);
            }
        }
    }

    /// Notes a write; `same` says whether it changes nothing, which does no harm whoever else writes it.
    #[inline(always)]
    pub fn write(
        &mut self,
        thread: Thread,
        offset: usize,
        size: usize,
        strong: bool,
        same: bool,
        clocks: &Clocks,
    ) -> Result<(), Conflict> {
        self.change(thread, offset, size, (strong, same), State::Written, clocks)
    }

    /// Notes that a `cp.async` was issued: from now on its destination may change at any time.
    pub fn issue(&mut self, thread: Thread, offset: usize, size: usize, clocks: &Clocks) -> Result<(), Conflict> {
        self.bytes[offset..offset + size].fill(0xFF);
        self.change(thread, offset, size, (false, false), State::Pending, clocks)
    }

    /// Notes that a `cp.async` has landed, for its thread has waited for it, or an mbarrier: as a write of a thread at a time.
    pub fn land(&mut self, thread: Thread, time: u32, offset: usize, size: usize) {
        if self.writers.is_empty() {
            return;
        }
        self.fill(offset, size);
        let writer = written(thread, State::Written, false, time);
        self.writers[offset / self.granule..(offset + size).div_ceil(self.granule)].fill(writer);
    }

    /// Notes that an mbarrier is put there.
    pub fn claim(&mut self, thread: Thread, offset: usize, size: usize, clocks: &Clocks) -> Result<(), Conflict> {
        self.change(thread, offset, size, (false, false), State::Claimed, clocks)
    }

    /// Notes the use of an mbarrier, which is ordered behind its initialisation, and before its end.
    pub fn use_claimed(&mut self, thread: Thread, offset: usize, size: usize, clocks: &Clocks) -> Result<(), Conflict> {
        if self.writers.is_empty() {
            return Ok(());
        }
        let now = clocks.now(thread.warp);
        for granule in offset / self.granule..(offset + size).div_ceil(self.granule) {
            let writer = self.writers[granule];
            if writer.state != State::Claimed {
                return Err(Conflict::Unclaimed);
            }
            let by = Thread { warp: usize::from(writer.warp), lane: usize::from(writer.lane) };
            if !clocks.ordered(by, writer.time, thread) {
                return Err(Conflict::AfterWrite(by));
            }
            self.note(thread, granule, now);
        }
        Ok(())
    }

    /// Notes that an mbarrier is no more: nothing is written there.
    pub fn end_claim(&mut self, thread: Thread, offset: usize, size: usize, clocks: &Clocks) -> Result<(), Conflict> {
        self.use_claimed(thread, offset, size, clocks)?;
        if !self.writers.is_empty() {
            let freed = written(thread, State::Written, false, 0);
            self.writers[offset / self.granule..(offset + size).div_ceil(self.granule)].fill(freed);
        }
        self.change(thread, offset, size, (false, false), State::Fresh, clocks)
    }

    /// Notes that a lane has read a granule.
    #[inline(always)]
    fn note(&mut self, thread: Thread, granule: usize, now: u32) {
        let reader = &mut self.readers[granule * self.warps + thread.warp];
        let lane = 1 << thread.lane;
        let lanes = if reader.time == now { reader.lanes | lane } else { lane };
        *reader = Reader { time: now, lanes };
    }

    #[inline(always)]
    fn change(
        &mut self,
        thread: Thread,
        offset: usize,
        size: usize,
        (strong, same): (bool, bool),
        state: State,
        clocks: &Clocks,
    ) -> Result<(), Conflict> {
        if self.writers.is_empty() {
            return Ok(());
        }
        self.fill(offset, size);
        let writer = written(thread, state, strong, clocks.now(thread.warp));
        for granule in offset / self.granule..(offset + size).div_ceil(self.granule) {
            let old = self.writers[granule];
            let by = Thread { warp: usize::from(old.warp), lane: usize::from(old.lane) };
            if old.state == State::Written {
                if !(same || strong && old.strong || clocks.ordered(by, old.time, thread)) {
                    return Err(Conflict::AfterWrite(by));
                }
            } else if old.state != State::Fresh {
                return Err(unreadable(old.state));
            }
            for (warp, reader) in self.readers[granule * self.warps..][..self.warps].iter().enumerate() {
                let lanes = if warp == thread.warp { reader.lanes & !(1 << thread.lane) } else { reader.lanes };
                if lanes != 0 && !same {
                    let by = Thread { warp, lane: lanes.trailing_zeros() as usize };
                    if !clocks.ordered(by, reader.time, thread) {
                        return Err(Conflict::AfterRead(by));
                    }
                }
            }
            self.writers[granule] = writer;
        }
        Ok(())
    }
}

/// What is wrong with the use of a granule in this state.
#[cold]
fn unreadable(state: State) -> Conflict {
    match state {
        State::Pending => Conflict::Pending,
        State::Claimed => Conflict::Claimed,
        State::Fresh | State::Written => Conflict::Unwritten,
    }
}

#[inline(always)]
fn written(thread: Thread, state: State, strong: bool, time: u32) -> Writer {
    Writer { time, warp: thread.warp as u8, lane: thread.lane as u8, state, strong }
}
