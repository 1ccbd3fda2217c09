//! What launches of one kernel and shape did. Not here: which launches there were (`report`), and what their counts mean for time (`interval`).

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::{Class, Count};
use crate::exec::op::Op;
use crate::launch::{Launch, Outcome};
use crate::program::Kernel;

/// A kernel and how it was launched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Shape {
    /// The kernel's name.
    pub kernel: String,
    /// Blocks in x, y, z.
    pub grid: [u32; 3],
    /// Threads of a block in x, y, z.
    pub block: [u32; 3],
    /// Bytes of shared memory that the kernel declares.
    pub static_shared: u64,
    /// Bytes of shared memory that the launch adds.
    pub dynamic_shared: u64,
    /// A hash of its arguments without addresses, in hexadecimal digits.
    pub arguments: String,
}

impl Shape {
    /// Blocks of a launch.
    pub fn blocks(&self) -> u64 {
        self.grid.iter().map(|&size| u64::from(size)).product()
    }

    /// Threads of a block.
    pub fn threads(&self) -> u64 {
        self.block.iter().map(|&size| u64::from(size)).product()
    }

    /// Warps of a block.
    pub fn warps(&self) -> u64 {
        self.threads().div_ceil(32)
    }
}

/// An instruction of the PTX and what it did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// In the PTX text, from 1.
    pub line: usize,
    /// What it is counted as.
    pub class: Class,
    /// Its name with modifiers.
    pub text: String,
    /// What it did.
    #[serde(flatten)]
    pub count: Count,
}

/// Where an infinity or a NaN came from first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NonFinite {
    /// The block, counted x first.
    pub block: u64,
    /// The thread of the block, counted x first.
    pub thread: u32,
    /// The line of the PTX.
    pub line: usize,
    /// The instruction.
    pub text: String,
}

/// What a launch did; or several of one shape, added up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LaunchReport {
    /// The kernel and how it was launched.
    #[serde(flatten)]
    pub shape: Shape,
    /// How many launches this is.
    pub launches: u64,
    /// Blocks that were run, over all launches; fewer than the grid has when blocks were sampled.
    pub blocks_run: u64,
    /// Bytes of global memory that all blocks read as they were before the launch, each once a launch, in whole sectors.
    pub unique_read_bytes: u64,
    /// Bytes of global memory that all blocks write, each once a launch, in whole sectors.
    pub unique_written_bytes: u64,
    /// Bytes that all blocks read after the launch itself has written them, as the last of several blocks does; each once a launch, in whole sectors. They come from
    /// the cache.
    pub reread_bytes: u64,
    /// The first producer of a value that is not finite, by block and thread.
    pub first_non_finite: Option<NonFinite>,
    /// What instructions of each class did.
    pub totals: BTreeMap<Class, Count>,
    /// Every instruction of the kernel; in JSON those that were executed.
    #[serde(serialize_with = "executed")]
    pub lines: Vec<Line>,
}

/// FNV-1a of 64 bits.
fn hash(bytes: &[u8]) -> String {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    format!("{:016x}", bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix))
}

/// Instructions that ran.
fn executed<S: Serializer>(lines: &[Line], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(lines.iter().filter(|line| line.count.executed > 0))
}

impl LaunchReport {
    /// Of a launch that has ended; `scalars` are its arguments without addresses.
    pub fn of(kernel: &Kernel, launch: &Launch, outcome: &Outcome, scalars: &[u8]) -> Self {
        let shape = Shape {
            kernel: kernel.name.clone(),
            grid: launch.grid,
            block: launch.block,
            static_shared: kernel.static_shared,
            dynamic_shared: u64::from(launch.shared),
            arguments: hash(scalars),
        };
        let ops = kernel.code.ops.iter().zip(&outcome.counts);
        let line =
            |(op, count): (&Op, &Count)| Line { line: op.line, class: op.class, text: op.text.clone(), count: *count };
        let first = outcome.infinite.and_then(|(op, block, thread)| {
            let op = kernel.code.ops.get(op)?;
            Some(NonFinite { block, thread, line: op.line, text: op.text.clone() })
        });
        let [read, written, reread] = outcome.unique.map(|sectors| sectors * 32);
        Self {
            blocks_run: outcome.blocks,
            unique_read_bytes: read,
            unique_written_bytes: written,
            reread_bytes: reread,
            first_non_finite: first,
            ..Self::new(shape, ops.map(line).collect())
        }
    }

    /// Of a launch all of whose blocks ran, by what each instruction of its kernel did.
    pub fn new(shape: Shape, lines: Vec<Line>) -> Self {
        let mut totals = BTreeMap::<Class, Count>::new();
        lines.iter().filter(|line| line.count.executed > 0).for_each(|line| {
            totals.entry(line.class).or_default().add(&line.count);
        });
        Self {
            blocks_run: shape.blocks(),
            shape,
            launches: 1,
            unique_read_bytes: 0,
            unique_written_bytes: 0,
            reread_bytes: 0,
            first_non_finite: None,
            totals,
            lines,
        }
    }

    /// What all instructions of the classes that are asked for did.
    pub fn total(&self, of: impl Fn(Class) -> bool) -> Count {
        let mut total = Count::default();
        self.totals.iter().filter(|(class, _)| of(**class)).for_each(|(_, count)| total.add(count));
        total
    }

    /// Passes through the banks of shared memory that conflicts cost in loops: at instructions that a warp executes more than once, on average.
    pub fn loop_conflicts(&self) -> u64 {
        let warps = self.blocks_run * self.shape.warps();
        let loops = self.lines.iter().filter(|line| line.count.executed > warps);
        loops.map(|line| line.count.wavefronts.saturating_sub(line.count.ideal)).sum()
    }

    /// What of all blocks ran: counts times its inverse are those of all launches.
    pub fn share(&self) -> f64 {
        self.blocks_run as f64 / (self.shape.blocks() * self.launches).max(1) as f64
    }

    /// Whether another is of the same kernel, which its name alone does not say, launched alike.
    pub(super) fn alike(&self, other: &Self) -> bool {
        let same = |(one, two): (&Line, &Line)| one.line == two.line && one.text == two.text;
        self.shape == other.shape
            && self.lines.len() == other.lines.len()
            && self.lines.iter().zip(&other.lines).all(same)
    }

    /// Adds a launch that is alike.
    pub(super) fn add(&mut self, other: &Self) {
        self.launches += other.launches;
        self.blocks_run += other.blocks_run;
        self.unique_read_bytes += other.unique_read_bytes;
        self.unique_written_bytes += other.unique_written_bytes;
        self.reread_bytes += other.reread_bytes;
        let found = [self.first_non_finite.take(), other.first_non_finite.clone()];
        self.first_non_finite = found.into_iter().flatten().min();
        for (class, count) in &other.totals {
            self.totals.entry(*class).or_default().add(count);
        }
        for (line, other) in self.lines.iter_mut().zip(&other.lines) {
            line.count.add(&other.count);
        }
    }

    /// How entries are ordered: those that differ in their instructions only, by these.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        let lines = |report: &Self| report.lines.iter().map(|line| (line.line, line.text.clone())).collect::<Vec<_>>();
        self.shape.cmp(&other.shape).then_with(|| lines(self).cmp(&lines(other)))
    }
}
