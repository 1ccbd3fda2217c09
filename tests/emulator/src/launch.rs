//! A launch: a grid of blocks of a kernel, run to its end on as many threads as there are to be had.

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use crate::count::Count;
use crate::count::device::devices;
use crate::exec::block::Block;
use crate::exec::grid::{Fault, Grid};
use crate::exec::op::Action;
use crate::exec::order::Released;
use crate::exec::print::Printed;
use crate::memory::{Allocation, Kind, Memory};
use crate::program::Kernel;
use crate::sample::{Sample, Sampled, Touched};
use crate::settings::{Planted, Settings};

/// What `cuLaunchKernel` is given, its limits checked by the caller.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Blocks in x, y, z.
    pub grid: [u32; 3],
    /// Threads of a block in x, y, z.
    pub block: [u32; 3],
    /// Bytes of dynamic shared memory.
    pub shared: u32,
    /// The block of parameters, `Kernel::parameter_bytes` long.
    pub parameters: Vec<u8>,
    /// Whether all blocks are resident at once, so that they may wait for each other.
    pub cooperative: bool,
}

/// Why a launch ended early.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// `CUresult`, as 700; sticky.
    pub code: u32,
    /// Kernel, line, block, thread, and what went wrong.
    pub message: String,
}

/// What a launch did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// By instruction of the kernel's code.
    pub counts: Vec<Count>,
    /// Sectors of 32 bytes of global memory: how many are read as they were before the launch, how many are written, and how many are read after the launch
    /// itself has written them. By all blocks, also where only some ran.
    pub unique: [u64; 3],
    /// Blocks that ran: fewer than the grid has where only some were asked for.
    pub blocks: u64,
    /// The first fraction that was no finite number: its instruction, its block and its thread.
    pub infinite: Option<(usize, u64, u32)>,
}

/// What a worker's blocks did.
#[derive(Default)]
struct Done {
    outcome: Outcome,
    touched: Touched,
}

/// A launch's arguments but for addresses, which are all alike here, and not null: what launches that are alike have in common.
pub fn scalars(launch: &Launch, memory: &Memory) -> Vec<u8> {
    let mut scalars = launch.parameters.clone();
    for word in scalars.as_chunks_mut::<8>().0 {
        let address = u64::from_le_bytes(*word);
        if address != 0 && memory.find(address, 1).is_ok() {
            *word = [0xFF; 8];
        }
    }
    scalars
}

/// Instructions of a block before another one has its turn, so that a block may wait for one that has not begun.
const BUDGET: u64 = 1 << 17;

/// Runs a launch to its end. What it prints is on the standard output then.
///
/// # Errors
/// The first thing that a check found.
pub fn run(kernel: &Kernel, launch: &Launch, memory: &Memory, settings: &Settings) -> Result<Outcome, Failure> {
    let orders = kernel.code.ops.iter().any(|op| match &op.action {
        Action::Fence(device) => *device,
        Action::Atomic(atomic) => atomic.acquire || atomic.release,
        Action::Atomics(all) => all.iter().any(|atomic| atomic.acquire || atomic.release),
        Action::Load(load) => load.acquire,
        Action::Store(store) => store.release,
        _ => false,
    });
    let number = memory.next_launch();
    let workspace = workspace(kernel, launch, memory);
    let grid = Grid {
        code: &kernel.code,
        allocations: memory.live(),
        memory,
        launch: number,
        grid: launch.grid,
        block: launch.block,
        parameters: &launch.parameters,
        shared: [kernel.static_shared as usize, dynamic(kernel, launch)],
        checks: settings.checks,
        wrong: matches!(&settings.fault, Some(Planted::Wrong(name)) if *name == kernel.name),
        computes: settings.blocks.is_none(),
        noise: settings.seed,
        seed: if settings.seed == 0 { 0 } else { settings.seed.wrapping_add(u64::from(number) << 32) },
        multiprocessors: settings
            .multiprocessors
            .or_else(|| devices(settings.sm).next().map(|device| device.multiprocessors))
            .unwrap_or(1),
        released: Released::default(),
        orders,
        printed: Printed::default(),
        workspace: workspace.as_ref().map_or(0, |workspace| workspace.address),
        stop: AtomicBool::new(false),
    };
    let count = launch.grid.iter().map(|size| u64::from(*size)).product();
    let failure = |fault: Fault| Failure { code: fault.code, message: message(kernel, &grid, &fault) };
    let most = settings.blocks.unwrap_or(count);
    let groups = if most < count { groups(&grid).map_err(failure)? } else { 1 };
    let sample = Sample::new(count, most, groups);
    let blocks = Blocks::new(sample, grid.seed);
    let starts = if sample.is_partial() { starts(launch, &grid) } else { Vec::new() };
    let workers = settings.threads.min(usize::try_from(sample.places()).unwrap_or(usize::MAX)).max(1);
    let results: Vec<Result<Done, Fault>> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..workers).map(|_| scope.spawn(|| work(&grid, &blocks, &starts))).collect();
        let own = work(&grid, &blocks, &starts);
        let others =
            others.into_iter().map(|other| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        std::iter::once(own).chain(others).collect()
    });
    grid.printed.flush();
    if let Some(workspace) = workspace {
        // it was there a moment ago
        let _ = memory.free(workspace.address);
    }
    let mut all =
        Outcome { counts: vec![Count::default(); kernel.code.ops.len()], blocks: sample.some, ..Outcome::default() };
    let mut touched = Touched::default();
    for result in results {
        let Done { outcome: one, touched: by_one } = result.map_err(failure)?;
        touched.join(&by_one);
        all.counts.iter_mut().zip(&one.counts).for_each(|(all, one)| all.add(one));
        all.unique.iter_mut().zip(one.unique).for_each(|(all, one)| *all += one);
        all.infinite = first(all.infinite, one.infinite).filter(|_| grid.computes);
    }
    if sample.is_partial() {
        all.unique = touched.unique(&sample);
    }
    Ok(all)
}

/// How many blocks share counters at which the last of them goes on: so many, or a multiple, must be in a sample. Found by a block that is told
/// at every counter that it is the last; 1 where there is none.
fn groups(grid: &Grid<'_>) -> Result<u64, Fault> {
    let counts = grid.code.ops.iter().any(|op| matches!(&op.action, Action::Atomic(atomic) if atomic.increments));
    if !counts {
        return Ok(1);
    }
    let mut block = Block::new(grid, 0, Some(Sampled::last()), vec![Count::default(); grid.code.ops.len()]);
    while !block.run(grid, BUDGET)? {}
    Ok(block.finish().sampled.map_or(1, |sampled| sampled.groups()))
}

/// Where the operands of a launch begin, as far as its arguments say: their addresses, and where allocations begin.
fn starts(launch: &Launch, grid: &Grid<'_>) -> Vec<u64> {
    let words = launch.parameters.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
    let addresses = words.filter(|word| grid.find(*word, 1).is_some());
    let mut starts: Vec<u64> = addresses.chain(grid.allocations.iter().map(|allocation| allocation.address)).collect();
    starts.sort_unstable();
    starts.dedup();
    starts
}

/// Bytes of the memory in which a cooperative launch counts the blocks that wait for the others.
const WORKSPACE: u64 = 256;

/// That memory, of zeros, for a kernel that asks where it is.
fn workspace(kernel: &Kernel, launch: &Launch, memory: &Memory) -> Option<Arc<Allocation>> {
    let asks = kernel.code.specials.iter().any(|(name, _)| name.starts_with("%envreg"));
    if !(launch.cooperative && asks) {
        return None;
    }
    let found = memory.allocate(WORKSPACE, Kind::Variable).ok()?;
    memory.write(found.address, &[0; WORKSPACE as usize]).ok()?;
    Some(found)
}

/// Bytes of dynamic shared memory, and what lies between the static and it.
fn dynamic(kernel: &Kernel, launch: &Launch) -> usize {
    let gap = if launch.shared == 0 { 0 } else { kernel.dynamic_shared - kernel.static_shared };
    launch.shared as usize + gap as usize
}

/// Blocks that have not begun, and those that had their turn and have not ended.
struct Blocks {
    /// Those that run.
    sample: Sample,
    step: u64,
    first: u64,
    state: Mutex<State>,
}

struct State {
    next: u64,
    suspended: VecDeque<Block>,
}

impl Blocks {
    /// Those of a sample, in an order drawn from a seed; in their own for 0.
    fn new(sample: Sample, seed: u64) -> Self {
        let some = sample.places();
        let common = |mut a: u64, mut b: u64| {
            while b != 0 {
                (a, b) = (b, a % b);
            }
            a
        };
        let drawn = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let step = match seed {
            0 => 1,
            _ => (drawn % some.max(1)..).find(|step| common(*step, some) == 1).unwrap_or(1),
        };
        let first = if seed == 0 { 0 } else { drawn % some.max(1) };
        Self { sample, step, first, state: Mutex::new(State { next: 0, suspended: VecDeque::new() }) }
    }

    /// A block to begin, by its place in the sample, or one to go on with.
    fn take(&self) -> Option<Result<u64, Block>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.next < self.sample.places() {
            let index = u128::from(state.next);
            state.next += 1;
            let place = (index * u128::from(self.step) + u128::from(self.first)) % u128::from(self.sample.places());
            return Some(Ok(place as u64));
        }
        state.suspended.pop_front().map(Err)
    }

    fn suspend(&self, block: Block) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).suspended.push_back(block);
    }
}

/// Runs blocks until none is left.
fn work(grid: &Grid<'_>, blocks: &Blocks, starts: &[u64]) -> Result<Done, Fault> {
    let mut done = Done::default();
    done.outcome.counts = vec![Count::default(); grid.code.ops.len()];
    while let Some(next) = blocks.take() {
        if grid.stop.load(Relaxed) {
            break;
        }
        let mut block = match next {
            Ok(place) => {
                let sample = &blocks.sample;
                let sampled = || if sample.is_end(place) { Sampled::last() } else { Sampled::at(place) };
                let sampled = sample.is_partial().then(sampled);
                Block::new(grid, blocks.sample.block(place), sampled, vec![Count::default(); grid.code.ops.len()])
            }
            Err(block) => block,
        };
        match block.run(grid, BUDGET) {
            Ok(true) => {
                let mut team = block.finish();
                if let Some(sampled) = team.sampled.take() {
                    let counted = sampled.is_counted();
                    done.touched.add(*sampled, starts);
                    if !counted {
                        continue;
                    }
                }
                let outcome = &mut done.outcome;
                outcome.counts.iter_mut().zip(&team.counts).for_each(|(all, one)| all.add(one));
                outcome.unique.iter_mut().zip(team.unique).for_each(|(all, one)| *all += one);
                let place = |(op, thread)| (op, team.number, thread as u32);
                outcome.infinite = first(outcome.infinite, team.infinite.map(place));
            }
            Ok(false) => blocks.suspend(block),
            Err(mut fault) => {
                grid.stop.store(true, Relaxed);
                fault.text = format!("{}: {}", place(grid, block.finish().number, fault.thread), fault.text);
                return Err(fault);
            }
        }
    }
    Ok(done)
}

/// Of two values that are not finite the one of the lower block, whichever ran first.
fn first(one: Option<(usize, u64, u32)>, other: Option<(usize, u64, u32)>) -> Option<(usize, u64, u32)> {
    one.into_iter().chain(other).min_by_key(|(op, block, thread)| (*block, *thread, *op))
}

/// `block (1, 0, 0), thread (37, 0, 0)`
fn place(grid: &Grid<'_>, block: u64, thread: Option<usize>) -> String {
    let [x, y, _] = grid.grid.map(u64::from);
    let block = format!("block ({}, {}, {})", block % x, block / x % y, block / x / y);
    let [x, y, _] = grid.block.map(|size| size as usize);
    match thread {
        None => block,
        Some(thread) => format!("{block}, thread ({}, {}, {})", thread % x, thread / x % y, thread / x / y),
    }
}

fn message(kernel: &Kernel, grid: &Grid<'_>, fault: &Fault) -> String {
    let op = grid.code.ops.get(fault.op);
    let at = op.map_or_else(String::new, |op| format!(", line {}, {}", op.line, op.text));
    format!("kernel {}{at}: {}", kernel.name, fault.text)
}
