//! `mbarrier`: objects in shared memory at which arrivals are counted, phase by phase, of threads and of `cp.async`. Who waits for a phase
//! sees what was before the arrivals of it. Not here: where they lie and whether they may be used (`access::mbarrier`, `shared`).

use std::collections::HashMap;

use super::clocks::{Clocks, Released, Thread};
use super::copies::Pending;
use super::shared::Shared;

/// The mbarriers of a block.
#[derive(Default)]
pub struct Mbarriers {
    by_offset: HashMap<u32, Object>,
    /// `cp.async.mbarrier.arrive` whose copies have not landed, in the order of each thread.
    tracked: Vec<Tracked>,
    /// A phase has come to its end since it was asked for.
    completed: bool,
}

/// One of them.
struct Object {
    /// Phases that are complete.
    phase: u64,
    /// Arrivals of a phase.
    expected: u32,
    /// Those that are missing.
    pending: u32,
    /// Bytes that are still to come.
    bytes: i64,
    /// What those who came in this phase released.
    coming: Released,
    /// What those of the last complete phase did.
    complete: Released,
}

/// An arrival for copies.
struct Tracked {
    offset: u32,
    thread: Thread,
    time: u32,
    released: Released,
    copies: Vec<Pending>,
}

/// The greatest count (PTX ISA, "Contents of the mbarrier object").
const MOST: u32 = (1 << 20) - 1;

/// What is wrong with the use of an mbarrier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misuse {
    /// There is none.
    #[error("no mbarrier was initialised there")]
    Missing,
    /// The count of `init` or of an arrival.
    #[error("a count of {0}, which is not from 1 to {MOST}")]
    Count(u32),
    /// More come than the phase expects.
    #[error("{count} arrive, and only {pending} are missing in this phase")]
    Many {
        /// Arrivals of the instruction.
        count: u32,
        /// Arrivals that the phase still expects.
        pending: u32,
    },
    /// `.noComplete` that completes.
    #[error("it completes the phase, which .noComplete must not")]
    Complete,
    /// A token that is older than the last phase, or of another mbarrier.
    #[error("a token of phase {token}, while phase {phase} is the present one")]
    Token {
        /// Whose token it is.
        token: u64,
        /// The present phase.
        phase: u64,
    },
}

/// An arrival of one thread.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// How many it counts for.
    pub count: u32,
    /// Bytes that are announced first.
    pub expect: u32,
    /// Later phases expect them no more.
    pub drop: bool,
    /// It must not complete the phase.
    pub no_complete: bool,
}

/// The arrivals that were missing when a token was given.
pub fn pending_of(token: u64) -> u32 {
    token as u32
}

impl Object {
    fn token(&self) -> u64 {
        self.phase << 32 | u64::from(self.pending)
    }

    /// Ends the phase when all have come; whether it did.
    fn settle(&mut self) -> bool {
        let done = self.pending == 0 && self.bytes == 0;
        if done {
            self.phase += 1;
            self.pending = self.expected;
            self.complete = std::mem::take(&mut self.coming);
        }
        done
    }
}

impl Mbarriers {
    /// `mbarrier.init`.
    pub fn init(&mut self, offset: u32, count: u32) -> Result<(), Misuse> {
        if !(1..=MOST).contains(&count) {
            return Err(Misuse::Count(count));
        }
        let (coming, complete) = (Released::default(), Released::default());
        let object = Object { phase: 0, expected: count, pending: count, bytes: 0, coming, complete };
        self.by_offset.insert(offset, object);
        Ok(())
    }

    /// `mbarrier.inval`.
    pub fn invalidate(&mut self, offset: u32) -> Result<(), Misuse> {
        self.by_offset.remove(&offset).map(|_| ()).ok_or(Misuse::Missing)
    }

    fn object(&mut self, offset: u32) -> Result<&mut Object, Misuse> {
        self.by_offset.get_mut(&offset).ok_or(Misuse::Missing)
    }

    /// `mbarrier.arrive`, `arrive_drop`; the token of the phase.
    pub fn arrive(&mut self, offset: u32, arrival: Arrival, released: &Released) -> Result<u64, Misuse> {
        let object = self.object(offset)?;
        let Arrival { count, expect, drop, no_complete } = arrival;
        if !(1..=MOST).contains(&count) {
            return Err(Misuse::Count(count));
        }
        let token = object.token();
        if count > object.pending {
            return Err(Misuse::Many { count, pending: object.pending });
        }
        object.bytes += i64::from(expect);
        object.coming.join(released);
        if drop {
            object.expected -= count;
        }
        object.pending -= count;
        let ended = object.settle();
        self.completed |= ended;
        if ended && no_complete { Err(Misuse::Complete) } else { Ok(token) }
    }

    /// `expect_tx`, and with a minus `complete_tx`.
    pub fn expect(&mut self, offset: u32, bytes: i64) -> Result<(), Misuse> {
        let object = self.object(offset)?;
        object.bytes += bytes;
        let ended = bytes < 0 && object.settle();
        self.completed |= ended;
        Ok(())
    }

    /// Whether the phase of a token is complete.
    pub fn passed(&mut self, offset: u32, token: u64) -> Result<bool, Misuse> {
        let phase = self.object(offset)?.phase;
        match phase.checked_sub(token >> 32) {
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            _ => Err(Misuse::Token { token: token >> 32, phase }),
        }
    }

    /// Whether the last phase of a parity is complete: the present one has the other.
    pub fn passed_parity(&mut self, offset: u32, parity: u32) -> Result<bool, Misuse> {
        Ok(self.object(offset)?.phase & 1 != u64::from(parity & 1))
    }

    /// What the arrivals of the last phase released.
    pub fn released(&self, offset: u32) -> Option<&Released> {
        self.by_offset.get(&offset).map(|object| &object.complete)
    }

    /// Arrivals that are missing, and bytes, and the phase.
    pub fn missing(&self, offset: u32) -> Option<(u32, i64, u64)> {
        self.by_offset.get(&offset).map(|object| (object.pending, object.bytes, object.phase))
    }

    /// `cp.async.mbarrier.arrive`: an arrival once these copies of a thread have landed. `counted` where the phase expects it already.
    pub fn track(
        &mut self,
        offset: u32,
        thread: Thread,
        copies: Vec<Pending>,
        counted: bool,
        clocks: &mut Clocks,
    ) -> Result<(), Misuse> {
        let object = self.object(offset)?;
        if !counted {
            object.pending += 1;
            if object.pending > MOST {
                return Err(Misuse::Count(object.pending));
            }
        }
        let time = clocks.now(thread.warp);
        let released = clocks.release(thread.warp, 1 << thread.lane, false);
        self.tracked.push(Tracked { offset, thread, time, released, copies });
        Ok(())
    }

    /// Someone waits for an mbarrier: the copies that it tracks land, and those that their threads issued before.
    pub fn land(&mut self, offset: u32, shared: &mut Shared) -> Result<(), Misuse> {
        while let Some(at) = self.tracked.iter().position(|tracked| tracked.offset == offset) {
            let thread = self.tracked[at].thread;
            let before = self.tracked[..at].iter().position(|tracked| tracked.thread == thread);
            let tracked = self.tracked.remove(before.unwrap_or(at));
            tracked.copies.iter().for_each(|copy| copy.land(tracked.thread, tracked.time, shared));
            self.landed(&tracked)?;
        }
        Ok(())
    }

    /// A thread waits itself for copies of which this holds.
    pub fn wait(
        &mut self,
        thread: Thread,
        waited: impl Fn(&Pending) -> bool,
        shared: &mut Shared,
    ) -> Result<(), Misuse> {
        let mut at = 0;
        while at < self.tracked.len() {
            let tracked = &mut self.tracked[at];
            if tracked.thread == thread {
                let (thread, time) = (tracked.thread, tracked.time);
                tracked.copies.retain(|copy| {
                    let landed = waited(copy);
                    if landed {
                        copy.land(thread, time, shared);
                    }
                    !landed
                });
                if tracked.copies.is_empty() {
                    let tracked = self.tracked.remove(at);
                    self.landed(&tracked)?;
                    continue;
                }
            }
            at += 1;
        }
        Ok(())
    }

    /// Whether a thread has copies that an mbarrier tracks.
    pub fn tracks(&self) -> bool {
        !self.tracked.is_empty()
    }

    fn landed(&mut self, tracked: &Tracked) -> Result<(), Misuse> {
        let arrival = Arrival { count: 1, expect: 0, drop: false, no_complete: false };
        self.arrive(tracked.offset, arrival, &tracked.released).map(|_| ())
    }

    /// Whether a phase came to its end since this was asked.
    pub fn take_completed(&mut self) -> bool {
        std::mem::take(&mut self.completed)
    }

    /// The same, to be asked again.
    pub fn has_completed(&self) -> bool {
        self.completed
    }
}
