//! What the lanes of a warp do together: who must take part, who waits, and who waits in vain.

use super::grid::{Fault, Grid, LAUNCH_FAILED, TIMEOUT, Team};
use super::local::lanes;
use super::op::{Action, Op};
use super::registers::{LANES, Mask};
use super::warp::{Fragment, Wait, Warp};
use crate::count::Class;
use crate::warp::Members;

impl Warp {
    /// What lanes do together, once all that take part are here.
    pub(super) fn together(
        &mut self,
        grid: &Grid<'_>,
        team: &mut Team,
        index: usize,
        op: &Op,
        mask: Mask,
    ) -> Result<bool, Fault> {
        let pc = self.fragments[index].pc;
        let (mut left, mut lacking) = (mask, 0);
        while left != 0 {
            let (group, needed) =
                self.group(op, left).map_err(|(lane, text)| self.fault(pc, 1 << lane, LAUNCH_FAILED, text))?;
            left &= !group;
            if needed & !self.live != 0 {
                let text = format!("lanes {:08x} must take part and have ended, or never were", needed & !self.live);
                return Err(self.fault(pc, group, LAUNCH_FAILED, text));
            }
            if group & needed == needed {
                self.run_together(grid, team, op, pc, group)?;
            } else if !self.meets(grid, team, op, group, needed) {
                lacking |= group;
            }
        }
        if lacking == 0 {
            self.fragments[index].pc += 1;
        } else {
            self.uncount(team, pc, lacking);
            self.skip(index, lacking);
            self.fragments[index].wait = Wait::Lanes;
        }
        Ok(false)
    }

    /// Of these lanes those that take part in one thing with the first of them, and all that must. Else the lane that cannot, and why.
    fn group(&self, op: &Op, mask: Mask) -> Result<(Mask, Mask), (usize, String)> {
        let members = match &op.action {
            Action::Collective(collective) => collective.members,
            Action::WarpBarrier(slot) => Members::Named(*slot),
            _ => Members::All,
        };
        let slot = match members {
            Members::Present => return Ok((mask, mask)),
            Members::All => return Ok((mask, Mask::MAX)),
            Members::Named(slot) => slot,
        };
        let named: [u32; LANES] = self.registers.read(slot);
        if let Some(lane) = lanes(mask).find(|lane| named[*lane] >> lane & 1 == 0) {
            return Err((lane, format!("lane {lane} is not in the mask {:08x} that it names", named[lane])));
        }
        let first = named[mask.trailing_zeros() as usize % LANES];
        let group = lanes(mask).filter(|lane| named[*lane] == first).fold(0, |group, lane| group | 1 << lane);
        // hardware does not wait for lanes that have ended
        Ok((group, first & self.live))
    }

    fn run_together(&mut self, grid: &Grid<'_>, team: &mut Team, op: &Op, pc: usize, mask: Mask) -> Result<(), Fault> {
        match &op.action {
            // its sums would be of what nobody computed, and take most of the time
            Action::Collective(_) if !grid.computes && matches!(op.class, Class::Mma(_)) => {}
            Action::Collective(collective) => (collective.run)(&mut self.registers, mask),
            Action::LoadMatrix(matrix) => self.accessor(grid, team, pc).load_matrix(matrix)?,
            Action::StoreMatrix(matrix) => self.accessor(grid, team, pc).store_matrix(matrix)?,
            _ => team.clocks.join_lanes(self.number, mask),
        }
        if op.float.is_some() && grid.checks {
            self.watch(team, pc, op, mask);
        }
        Ok(())
    }

    /// Lanes may meet at different `bar.warp.sync`: whether those that lack wait at another one, and all go on.
    fn meets(&mut self, grid: &Grid<'_>, team: &mut Team, op: &Op, group: Mask, needed: Mask) -> bool {
        if !matches!(op.action, Action::WarpBarrier(_)) {
            return false;
        }
        let waits = |fragment: &&mut Fragment| {
            fragment.wait == Wait::Lanes
                && fragment.mask & needed != 0
                && matches!(grid.code.ops[fragment.pc].action, Action::WarpBarrier(_))
        };
        let there = self.fragments.iter_mut().filter(waits).fold(0, |all, fragment| all | fragment.mask);
        if (there | group) & needed != needed {
            return false;
        }
        for fragment in self.fragments.iter_mut().filter(waits) {
            fragment.wait = Wait::Nothing;
            fragment.pc += 1;
        }
        team.clocks.join_lanes(self.number, needed);
        true
    }

    /// Whether lanes wait for others that can never come.
    pub(super) fn stuck(&self, grid: &Grid<'_>) -> Result<(), Fault> {
        let lost = self.fragments.iter().find(|fragment| fragment.wait == Wait::Lanes);
        let waits = |fragment: &Fragment| matches!(fragment.wait, Wait::Barrier(_) | Wait::Phase(_));
        let barrier = self.fragments.iter().any(waits);
        let Some(lost) = lost.filter(|_| !barrier) else { return Ok(()) };
        Err(self.divergent(grid, lost))
    }

    /// That a fragment waits for lanes that are elsewhere.
    pub(super) fn divergent(&self, grid: &Grid<'_>, lost: &Fragment) -> Fault {
        let others = self.fragments.iter().filter(|other| other.pc != lost.pc || other.mask != lost.mask);
        let others: Vec<String> =
            others.map(|other| format!("lanes {:08x} at line {}", other.mask, grid.code.ops[other.pc].line)).collect();
        let ended = !self.live & self.all(grid);
        let mut text = format!("divergent: lanes {:08x} wait here for all lanes that must take part", lost.mask);
        if !others.is_empty() {
            text += &format!("; {}", others.join(", "));
        }
        if ended != 0 {
            text += &format!("; lanes {ended:08x} have ended");
        }
        let thread = Some(self.number * LANES + lost.mask.trailing_zeros() as usize % LANES);
        Fault { code: TIMEOUT, op: lost.pc, thread, text }
    }

    /// The lanes that the warp began with.
    fn all(&self, grid: &Grid<'_>) -> Mask {
        match grid.threads() - self.number * LANES {
            left if left >= LANES => Mask::MAX,
            left => (1 << left) - 1,
        }
    }
}
