//! What the lanes of a warp do at mbarriers, and how they wait: a wait that is not over is put off until a phase ends, or told that it is not
//! when nobody else can go on, or by lot at once, as hardware may. Not here: counting (`mbarrier`).

use super::access::Claim;
use super::clocks::Thread;
use super::grid::{Fault, Grid, LAUNCH_FAILED, TIMEOUT, Team};
use super::local::lanes;
use super::mbarrier::{Arrival, Misuse};
use super::op::{Action, Awaited, Mbarrier, MbarrierUse};
use super::registers::{LANES, Mask, Slot};
use super::warp::{Wait, Warp};

impl Warp {
    /// An instruction about mbarriers; whether a phase has come to its end.
    pub(super) fn mbarrier(
        &mut self,
        grid: &Grid<'_>,
        team: &mut Team,
        index: usize,
        mbarrier: &Mbarrier,
        mask: Mask,
    ) -> Result<bool, Fault> {
        let pc = self.fragments[index].pc;
        let mut accessor = self.accessor(grid, team, pc);
        let offsets = accessor.mbarriers(&mbarrier.address, mask)?;
        accessor.claim(
            &offsets,
            mask,
            match mbarrier.what {
                MbarrierUse::Init(_) => Claim::Begin,
                MbarrierUse::Inval => Claim::End,
                _ => Claim::Use,
            },
        )?;
        if let MbarrierUse::Wait { into, awaited, acquire } = mbarrier.what {
            self.wait_for_phase(grid, team, index, (into, awaited, acquire), &offsets, mask)?;
            return Ok(team.mbarriers.has_completed());
        }
        team.progress += 1;
        for lane in lanes(mask) {
            // a release of all lanes that arrive together at one is one of each
            let together = lanes(mask).filter(|other| offsets[*other] == offsets[lane]);
            let together = together.fold(0, |together, other| together | 1 << other);
            let done = self.use_mbarrier(team, &mbarrier.what, offsets[lane], lane, together);
            done.map_err(|why| self.accessor(grid, team, pc).misuse(lane, offsets[lane], &why))?;
        }
        self.fragments[index].pc += 1;
        Ok(team.mbarriers.has_completed())
    }

    /// Everything but waits, of one lane.
    fn use_mbarrier(
        &mut self,
        team: &mut Team,
        what: &MbarrierUse,
        offset: u32,
        lane: usize,
        together: Mask,
    ) -> Result<(), Misuse> {
        let value = |slot: Slot| self.registers.lane(slot, lane) as u32;
        let Team { mbarriers, clocks, shared, .. } = team;
        match *what {
            MbarrierUse::Init(count) => mbarriers.init(offset, value(count)),
            MbarrierUse::Inval => mbarriers.invalidate(offset),
            MbarrierUse::Expect(bytes) => mbarriers.expect(offset, i64::from(value(bytes))),
            MbarrierUse::Complete(bytes) => mbarriers.expect(offset, -i64::from(value(bytes))),
            MbarrierUse::Copies { counted } => {
                let thread = Thread { warp: self.number, lane };
                mbarriers.track(offset, thread, self.copies.take(lane), counted, clocks)?;
                // nothing to wait for: it has arrived
                mbarriers.wait(thread, |_| false, shared)
            }
            MbarrierUse::Arrive { into, count, expect, drop, no_complete, release } => {
                let arrival =
                    Arrival { count: count.map_or(1, value), expect: expect.map_or(0, value), drop, no_complete };
                let released = if release {
                    clocks.release(self.number, together, together == self.live)
                } else {
                    Default::default()
                };
                let token = mbarriers.arrive(offset, arrival, &released)?;
                if let Some(into) = into {
                    self.registers.set_lane(into, lane, token);
                }
                Ok(())
            }
            MbarrierUse::Wait { .. } => Ok(()),
        }
    }

    fn wait_for_phase(
        &mut self,
        grid: &Grid<'_>,
        team: &mut Team,
        index: usize,
        (into, awaited, acquire): (Slot, Awaited, bool),
        offsets: &[u32; LANES],
        mask: Mask,
    ) -> Result<(), Fault> {
        let pc = self.fragments[index].pc;
        let mut passed = 0;
        for lane in lanes(mask) {
            let is_passed = |warp: &Self, team: &mut Team| match awaited {
                Awaited::Token(slot) => team.mbarriers.passed(offsets[lane], warp.registers.lane(slot, lane)),
                Awaited::Parity(slot) => {
                    team.mbarriers.passed_parity(offsets[lane], warp.registers.lane(slot, lane) as u32)
                }
            };
            let mut done = is_passed(self, team);
            if done == Ok(false) {
                let landed = team.mbarriers.land(offsets[lane], &mut team.shared);
                done = landed.and_then(|()| is_passed(self, team));
            }
            let done = done.map_err(|why| self.accessor(grid, team, pc).misuse(lane, offsets[lane], &why))?;
            passed |= u32::from(done) << lane;
            if let (true, true, Some(released)) = (done, acquire, team.mbarriers.released(offsets[lane])) {
                team.clocks.acquire(self.number, 1 << lane, released);
            }
        }
        let failed = mask & !passed;
        self.registers.write_predicate(into, passed, mask);
        if failed == 0 || grid.seed != 0 && self.draw() & 1 == 1 {
            self.fragments[index].pc += 1;
        } else {
            self.skip(index, failed);
            self.fragments[index].wait = Wait::Phase(offsets[failed.trailing_zeros() as usize % LANES]);
        }
        Ok(())
    }

    /// A phase has ended: those who wait look again.
    pub(super) fn wake(&mut self, team: &mut Team) {
        for index in 0..self.fragments.len() {
            if matches!(self.fragments[index].wait, Wait::Phase(_)) {
                self.fragments[index].wait = Wait::Nothing;
                let guarded = self.fragments[index].mask;
                self.uncount(team, self.fragments[index].pc, guarded);
            }
        }
    }

    /// Nobody else can go on: those who wait for a phase are told that it is not over; whether there are such.
    pub(super) fn refuse(&mut self, grid: &Grid<'_>) -> bool {
        let mut any = false;
        for fragment in &mut self.fragments {
            if let (Wait::Phase(_), Action::Mbarrier(Mbarrier { what: MbarrierUse::Wait { into, .. }, .. })) =
                (fragment.wait, &grid.code.ops[fragment.pc].action)
            {
                self.registers.write_predicate(*into, 0, fragment.mask);
                fragment.pc += 1;
                fragment.wait = Wait::Nothing;
                any = true;
            }
        }
        any
    }

    /// That a fragment waits for a phase that never ends.
    pub(super) fn endless(&self, team: &Team) -> Option<Fault> {
        let waits = |wait| if let Wait::Phase(offset) = wait { Some(offset) } else { None };
        let (fragment, offset) = self.fragments.iter().find_map(|fragment| Some((fragment, waits(fragment.wait)?)))?;
        let (pending, bytes, phase) = team.mbarriers.missing(offset)?;
        let bytes = if bytes == 0 { String::new() } else { format!(" and {bytes} bytes") };
        let text = format!(
            "hang: the mbarrier at {offset:#x} of shared memory lacks {pending} arrivals{bytes} in phase {phase}, and no thread is left to come"
        );
        Some(self.fault(fragment.pc, fragment.mask, TIMEOUT, text))
    }

    /// Waits for copies of `cp.async`, those among them that an mbarrier tracks.
    pub(super) fn wait_for_copies(
        &mut self,
        team: &mut Team,
        pc: usize,
        mask: Mask,
        left: Option<u32>,
    ) -> Result<(), Fault> {
        let Team { shared, clocks, mbarriers, .. } = team;
        self.copies.wait(self.number, mask, left, shared, clocks);
        if mbarriers.tracks() {
            for lane in lanes(mask) {
                let thread = Thread { warp: self.number, lane };
                let landed = mbarriers.wait(thread, |copy| self.copies.is_waited(lane, copy, left), shared);
                landed.map_err(|why| self.fault(pc, 1 << lane, LAUNCH_FAILED, format!("mbarrier: {why}")))?;
            }
        }
        Ok(())
    }
}
