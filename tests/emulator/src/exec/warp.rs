//! A warp: its lanes in fragments that are at the same instruction, of which the one that is furthest behind goes on, so that they meet again.
//! Nothing promises that on hardware, and so now and then another one goes.

use super::access::Accessor;
use super::call::Kept;
use super::copies::Copies;
use super::grid::{Fault, Grid, ILLEGAL_ADDRESS, LAUNCH_FAILED, Team};
use super::local::{Local, lanes};
use super::op::{Action, Clock, Op};
use super::registers::{LANES, Mask, Registers, Slot};
use super::unwritten::Unwritten;

/// Calls in each other that a thread's stack has room for.
const DEEPEST: usize = 2048;

/// The warp of 32 threads.
pub struct Warp {
    /// In its block.
    pub number: usize,
    /// Its registers.
    pub registers: Registers,
    /// Its threads' local memory.
    pub local: Local,
    /// What it copies.
    pub copies: Copies,
    /// What its registers hold that nothing has written.
    pub unwritten: Unwritten,
    /// Threads that have not ended.
    pub live: Mask,
    /// Lanes by where they are.
    pub fragments: Vec<Fragment>,
    steps: u64,
    lots: u64,
}

/// Lanes at the same instruction of the same calls.
#[derive(Clone, Debug)]
pub struct Fragment {
    /// Which.
    pub mask: Mask,
    /// The next instruction.
    pub pc: usize,
    /// The calls that they are in.
    pub stack: Vec<Frame>,
    /// What they wait for.
    pub wait: Wait,
}

/// A call that has not returned.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The instruction that called.
    pub call: usize,
    /// What it called.
    pub function: usize,
    /// What must be as it was when it returns.
    pub kept: Option<Box<Kept>>,
}

/// Lanes are in the same call whatever each of them has to restore.
impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        (self.call, self.function) == (other.call, other.function)
    }
}

impl Frame {
    /// Lanes of another fragment come to this one.
    fn merge(&mut self, other: &Self, mask: Mask) {
        if let (Some(kept), Some(other)) = (&mut self.kept, &other.kept) {
            kept.merge(other, mask);
        }
    }
}

/// What a fragment waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It can go on.
    Nothing,
    /// Other lanes must come to its instruction.
    Lanes,
    /// A barrier of the block.
    Barrier(usize),
    /// The end of a phase of the mbarrier at this offset of shared memory.
    Phase(u32),
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It can go on.
    Over,
    /// All wait.
    Waits,
    /// No thread is left.
    Ended,
}

impl Warp {
    /// The threads of a block from `32 * number` on.
    pub fn new(grid: &Grid<'_>, team_number: u64, number: usize) -> Self {
        let threads = grid.threads();
        let live = match threads - number * LANES {
            left if left >= LANES => Mask::MAX,
            left => (1 << left) - 1,
        };
        let code = grid.code;
        let mut registers = Registers::new(code.sizes);
        for (slot, bits) in &code.constants {
            match slot {
                Slot::Predicate(_) => {
                    registers.write_predicate(*slot, if *bits == 0 { 0 } else { Mask::MAX }, Mask::MAX);
                }
                _ => registers.write(*slot, &[*bits; LANES], Mask::MAX),
            }
        }
        for (name, slot) in &code.specials {
            let values = super::special::values(name, grid, team_number, number);
            registers.write(*slot, &values, Mask::MAX);
        }
        registers.noise = grid.noise;
        let fragments = vec![Fragment { mask: live, pc: 0, stack: Vec::new(), wait: Wait::Nothing }];
        let local = Local::new(code.local);
        let lots =
            grid.seed.wrapping_add(team_number << 8).wrapping_add(number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let (copies, unwritten) = (Copies::default(), Unwritten::default());
        Self { number, registers, local, copies, unwritten, live, fragments, steps: 0, lots: lots | 1 }
    }

    /// Runs up to so many instructions.
    pub fn run(&mut self, grid: &Grid<'_>, team: &mut Team, quantum: u64) -> Result<Turn, Fault> {
        for _ in 0..quantum {
            let Some(index) = self.choose(grid.seed) else {
                return if self.fragments.is_empty() {
                    Ok(Turn::Ended)
                } else {
                    self.stuck(grid).map(|()| Turn::Waits)
                };
            };
            self.steps += 1;
            if self.step(grid, team, index)? {
                // A barrier may be complete, and its waiters must go before anyone comes to it again.
                return Ok(Turn::Over);
            }
        }
        Ok(Turn::Over)
    }

    /// Instructions so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The fragment to go on; None when all wait or none is left.
    #[inline(always)]
    fn choose(&mut self, seed: u64) -> Option<usize> {
        match self.fragments.as_slice() {
            [] => None,
            [only] => (only.wait == Wait::Nothing).then_some(0),
            _ => self.choose_among(seed),
        }
    }

    fn choose_among(&mut self, seed: u64) -> Option<usize> {
        let mut index = 0;
        while index < self.fragments.len() {
            let same = |other: &Fragment, this: &Fragment| {
                let waits = |fragment: &Fragment| matches!(fragment.wait, Wait::Barrier(_) | Wait::Phase(_));
                other.pc == this.pc && !waits(other) && !waits(this) && other.stack == this.stack
            };
            let found =
                (index + 1..self.fragments.len()).find(|other| same(&self.fragments[*other], &self.fragments[index]));
            match found {
                Some(other) => {
                    let other = self.fragments.swap_remove(other);
                    for (frame, from) in self.fragments[index].stack.iter_mut().zip(&other.stack) {
                        frame.merge(from, other.mask);
                    }
                    self.fragments[index].mask |= other.mask;
                    self.fragments[index].wait = Wait::Nothing;
                }
                None => index += 1,
            }
        }
        self.draw();
        let ready = self.fragments.iter().enumerate().filter(|(_, fragment)| fragment.wait == Wait::Nothing);
        // without lots, too, nobody may wait forever for one that spins
        let other = if seed == 0 { self.steps.is_multiple_of(4096) } else { self.lots.is_multiple_of(61) };
        if other {
            let ready: Vec<usize> = ready.map(|(index, _)| index).collect();
            return ready.get((self.lots >> 32) as usize % ready.len().max(1)).copied();
        }
        ready.min_by_key(|(_, fragment)| (usize::MAX - fragment.stack.len(), fragment.pc)).map(|(index, _)| index)
    }

    /// The next lot.
    pub(super) fn draw(&mut self) -> u64 {
        self.lots ^= self.lots << 13;
        self.lots ^= self.lots >> 7;
        self.lots ^= self.lots << 17;
        self.lots >> 32
    }

    /// Executes the next instruction of a fragment; whether a barrier or the end of threads may let others go on.
    #[inline(always)]
    fn step(&mut self, grid: &Grid<'_>, team: &mut Team, index: usize) -> Result<bool, Fault> {
        let Fragment { mask: lanes_here, pc, .. } = self.fragments[index];
        let op = &grid.code.ops[pc];
        let mask = match op.guard {
            None => lanes_here,
            Some((slot, negated)) => {
                let bits = self.registers.predicate(slot);
                lanes_here & if negated { !bits } else { bits }
            }
        };
        let count = &mut team.counts[pc];
        count.executed += 1;
        count.threads += u64::from(mask.count_ones());
        if mask == 0 {
            self.fragments[index].pc += 1;
            return Ok(false);
        }
        if !self.unwritten.is_empty() {
            self.follow(grid, pc, op, mask)?;
        }
        match &op.action {
            Action::Lanes(run) => run(&mut self.registers, mask),
            Action::Branch(target) => {
                self.fragments[index].pc += 1;
                self.part(index, mask).pc = *target;
                return Ok(false);
            }
            Action::Nothing => {}
            _ => return self.act(grid, team, index, op, mask),
        }
        if op.float.is_some() && grid.checks {
            self.watch(team, pc, op, mask);
        }
        self.fragments[index].pc += 1;
        Ok(false)
    }

    /// Splits the lanes of a mask off a fragment; the rest, where there is one, stays as it is.
    fn part(&mut self, index: usize, mask: Mask) -> &mut Fragment {
        let fragment = &mut self.fragments[index];
        if fragment.mask == mask {
            return &mut self.fragments[index];
        }
        fragment.mask &= !mask;
        let parted = Fragment { mask, ..fragment.clone() };
        self.fragments.push(parted);
        let last = self.fragments.len() - 1;
        &mut self.fragments[last]
    }

    /// Everything but what is lane-wise or a branch.
    fn act(&mut self, grid: &Grid<'_>, team: &mut Team, index: usize, op: &Op, mask: Mask) -> Result<bool, Fault> {
        let pc = self.fragments[index].pc;
        match &op.action {
            Action::Load(load) => {
                team.progress += u64::from(load.strong);
                self.accessor(grid, team, pc).load(load, mask)?;
            }
            Action::Store(store) => self.accessor(grid, team, pc).store(store, mask)?,
            Action::Atomic(atomic) => {
                team.progress += 1;
                self.accessor(grid, team, pc).atomic(atomic, mask)?;
            }
            Action::Atomics(all) => self.accessor(grid, team, pc).atomics(all, mask)?,
            Action::Copy(copy) => self.accessor(grid, team, pc).copy(copy, mask)?,
            Action::Commit => self.copies.commit(mask),
            Action::Wait(left) => {
                self.wait_for_copies(team, pc, mask, *left)?;
                self.fragments[index].pc += 1;
                return Ok(team.mbarriers.has_completed());
            }
            Action::Mbarrier(mbarrier) => return self.mbarrier(grid, team, index, mbarrier, mask),
            Action::Fence(device) => {
                if *device {
                    team.order.fence(self.number);
                }
            }
            Action::Clock(into, clock) => {
                let now = match clock {
                    Clock::Cycles => self.steps,
                    Clock::Nanoseconds => super::special::nanoseconds(),
                };
                self.registers.write(*into, &[now; LANES], mask);
            }
            Action::Trap(code) => {
                let text = if *code == LAUNCH_FAILED { "the kernel trapped" } else { "an assertion failed" };
                return Err(self.fault(pc, mask, *code, text.to_owned()));
            }
            Action::Exit => return Ok(self.exit(team, index, mask)),
            Action::Return if self.fragments[index].stack.is_empty() => return Ok(self.exit(team, index, mask)),
            Action::Return => {
                self.fragments[index].pc += 1;
                let returning = self.part(index, mask);
                let Some(frame) = returning.stack.pop() else { return Ok(false) };
                returning.pc = frame.call + 1;
                if let (Action::Call(call), Some(Some(function))) =
                    (&grid.code.ops[frame.call].action, grid.code.functions.get(frame.function))
                {
                    self.leave(function, call, &frame, mask);
                }
                return Ok(false);
            }
            Action::Call(call) => {
                if self.fragments[index].stack.len() >= DEEPEST {
                    let text = format!("stack overflow: more than {DEEPEST} calls in each other");
                    return Err(self.fault(pc, mask, ILLEGAL_ADDRESS, text));
                }
                let (going, entry, frame) = self.enter(grid, pc, call, mask)?;
                self.skip(index, mask);
                let called = self.part(index, going);
                called.stack.push(frame);
                called.pc = entry;
                return Ok(false);
            }
            Action::Print(print) => self.print(grid, team, pc, print, mask)?,
            Action::Table(slot, targets) => {
                let values: [u32; LANES] = self.registers.read(*slot);
                let first = mask.trailing_zeros() as usize % LANES;
                let Some(target) = targets.get(values[first] as usize) else {
                    let text = format!("branch {} of {}", values[first], targets.len());
                    return Err(self.fault(pc, mask, LAUNCH_FAILED, text));
                };
                let going = lanes(mask).filter(|lane| values[*lane] == values[first]);
                let going = going.fold(0, |going, lane| going | 1 << lane);
                self.skip(index, mask);
                self.part(index, going).pc = *target;
                return Ok(false);
            }
            Action::Collective(_) | Action::LoadMatrix(_) | Action::StoreMatrix(_) | Action::WarpBarrier(_) => {
                return self.together(grid, team, index, op, mask);
            }
            Action::Barrier(barrier) => return self.barrier(team, index, barrier, mask),
            Action::Lanes(_) | Action::Branch(_) | Action::Nothing => {}
        }
        self.fragments[index].pc += 1;
        Ok(false)
    }

    pub(super) fn accessor<'a, 'g>(
        &'a mut self,
        grid: &'a Grid<'g>,
        team: &'a mut Team,
        op: usize,
    ) -> Accessor<'a, 'g> {
        Accessor { grid, team, warp: self, op }
    }

    pub(super) fn fault(&self, op: usize, mask: Mask, code: u32, text: String) -> Fault {
        let thread = Some(self.number * LANES + mask.trailing_zeros() as usize % LANES);
        Fault { code, op, thread, text }
    }

    fn exit(&mut self, team: &mut Team, index: usize, mask: Mask) -> bool {
        self.live &= !mask;
        team.live -= mask.count_ones();
        team.progress += 1;
        self.fragments[index].pc += 1;
        self.fragments[index].mask &= !mask;
        if self.fragments[index].mask == 0 {
            self.fragments.swap_remove(index);
        }
        // those who wait for lanes need not wait for these
        for fragment in self.fragments.iter_mut().filter(|fragment| fragment.wait == Wait::Lanes) {
            fragment.wait = Wait::Nothing;
        }
        true
    }

    /// Lanes of a fragment that are not in a mask go past its instruction, those of the mask stay.
    pub(super) fn skip(&mut self, index: usize, mask: Mask) {
        let rest = self.fragments[index].mask & !mask;
        if rest != 0 {
            self.part(index, rest).pc += 1;
        }
    }

    /// An instruction that will be executed later was counted too early.
    pub(super) fn uncount(&self, team: &mut Team, pc: usize, mask: Mask) {
        let count = &mut team.counts[pc];
        count.executed -= 1;
        count.threads -= u64::from(mask.count_ones());
    }

    /// Notes the first value that is not finite.
    pub(super) fn watch(&self, team: &mut Team, pc: usize, op: &Op, mask: Mask) {
        let Some((slots, ty)) = op.float.as_ref().filter(|_| team.infinite.is_none()) else { return };
        for slot in slots {
            let bad = super::special::not_finite(&self.registers, *slot, *ty) & mask;
            if bad != 0 {
                team.infinite = Some((pc, self.number * LANES + bad.trailing_zeros() as usize));
            }
        }
    }
}
