//! What a decoded kernel consists of.

use super::Lanes;
use super::registers::{Sizes, Slot};
use crate::count::Class;
use crate::decode::types::Type;
use crate::parse::syntax::Space;
use crate::warp::Collective;

/// Where the generic address space shows a block's shared memory.
pub const SHARED_WINDOW: u64 = 0x2000_0000_0000;
/// Where the generic address space shows a thread's local memory.
pub const LOCAL_WINDOW: u64 = 0x2100_0000_0000;
/// How large both windows are.
pub const WINDOW: u64 = 1 << 32;
/// Parameter addresses from here on are those of calls, which live in local memory; below are the kernel's own.
pub const CALL_PARAMETERS: u64 = 1 << 16;

/// A kernel with all functions that it can reach, in one piece.
pub struct Code {
    /// Its instructions; a branch is to an index of these.
    pub ops: Vec<Op>,
    /// Registers of a warp.
    pub sizes: Sizes,
    /// Registers that every warp starts with.
    pub constants: Vec<(Slot, u64)>,
    /// Special registers that are fixed while a warp runs.
    pub specials: Vec<(String, Slot)>,
    /// Functions that can be called, by their number in the module.
    pub functions: Vec<Option<Callable>>,
    /// Bytes of local memory a thread, parameters of calls included.
    pub local: usize,
    /// The narrowest access to global memory, in bytes: what its shadow distinguishes.
    pub global_granule: usize,
    /// The narrowest access to shared memory, in bytes.
    pub shared_granule: usize,
}

/// An instruction.
pub struct Op {
    /// In the PTX text.
    pub line: usize,
    /// Its name with modifiers, for messages and counts.
    pub text: String,
    /// The predicate under which it executes, and whether negated.
    pub guard: Option<(Slot, bool)>,
    /// What it does.
    pub action: Action,
    /// What it is counted as.
    pub class: Class,
    /// The fractions that it computes, whose first infinity or NaN is worth knowing.
    pub float: Option<(Vec<Slot>, Type)>,
    /// The registers that it reads and writes.
    pub touched: Box<Touched>,
}

/// The registers of an instruction.
#[derive(Clone, Debug)]
pub struct Touched {
    /// Those that it reads, with a bit for each byte that it uses; of a store only its address.
    pub reads: Vec<(Slot, u8)>,
    /// Those that it writes.
    pub writes: Vec<Slot>,
    /// What becomes of what it reads.
    pub moves: Moves,
}

/// What becomes of what an instruction reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moves {
    /// The result depends on it.
    Uses,
    /// It is the result.
    Copies,
    /// The first, where a predicate holds, or the second is the result.
    Selects(Slot),
}

/// What an instruction does.
pub enum Action {
    /// In every lane by itself.
    Lanes(Lanes),
    /// Among the lanes of a warp.
    Collective(Collective),
    /// `ld`
    Load(Load),
    /// `st`
    Store(Store),
    /// `atom`, `red`
    Atomic(Atomic),
    /// `atom`, `red` of vectors, element by element.
    Atomics(Vec<Atomic>),
    /// `cp.async`
    Copy(Copy),
    /// `cp.async.commit_group`
    Commit,
    /// `cp.async.wait_group n`: all but so many groups have landed; None for all copies, committed or not.
    Wait(Option<u32>),
    /// `ldmatrix`
    LoadMatrix(Matrix),
    /// `stmatrix`
    StoreMatrix(Matrix),
    /// `bra`
    Branch(usize),
    /// `brx.idx`
    Table(Slot, Vec<usize>),
    /// `call`
    Call(Call),
    /// `call` of `vprintf`.
    Print(Print),
    /// `ret`; of a kernel the end.
    Return,
    /// `exit`
    Exit,
    /// `trap`, and calls that end a kernel: with this `CUresult`.
    Trap(u32),
    /// `bar`, `barrier`
    Barrier(Barrier),
    /// `bar.warp.sync`
    WarpBarrier(Slot),
    /// `mbarrier`, `cp.async.mbarrier.arrive`
    Mbarrier(Mbarrier),
    /// `membar`, `fence`: of the whole device, not only of the block?
    Fence(bool),
    /// `mov` of a clock.
    Clock(Slot, Clock),
    /// Hints.
    Nothing,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Instructions of the warp so far, for want of clocks.
    Cycles,
    /// Nanoseconds.
    Nanoseconds,
}

/// An address of a lane.
#[derive(Clone, Copy, Debug)]
pub struct Address {
    /// None for the generic space.
    pub space: Option<Space>,
    /// The base.
    pub base: Slot,
    /// Bytes added.
    pub offset: i64,
}

/// `ld`
pub struct Load {
    /// From where.
    pub address: Address,
    /// The type of an element.
    pub ty: Type,
    /// Where elements go.
    pub into: Vec<Slot>,
    /// `.nc`, `ldu`: nothing that the launch writes may be read.
    pub constant: bool,
    /// Ordered by the memory model among all of its kind: `.volatile`, `.relaxed`, `.acquire`.
    pub strong: bool,
    /// `.acquire` at the scope of the device.
    pub acquire: bool,
}

/// `st`
pub struct Store {
    /// Where to.
    pub address: Address,
    /// The type of an element.
    pub ty: Type,
    /// Elements.
    pub from: Vec<Slot>,
    /// `.volatile`, `.relaxed`, `.release`.
    pub strong: bool,
    /// `.release` at the scope of the device.
    pub release: bool,
}

/// What an atomic makes of the value that is there, its operand and a second one.
pub type Change = fn(u64, u64, u64) -> u64;

/// `atom`, `red`
pub struct Atomic {
    /// Where.
    pub address: Address,
    /// In bytes.
    pub size: usize,
    /// In global memory.
    pub global: Change,
    /// In shared memory, where f32 keeps subnormals.
    pub shared: Change,
    /// Where the old value goes.
    pub into: Option<Slot>,
    /// Its operand.
    pub operand: Slot,
    /// The second operand of `cas`, else the first again.
    pub second: Slot,
    /// `.release`, `.acq_rel`.
    pub release: bool,
    /// `.acquire`, `.acq_rel`.
    pub acquire: bool,
    /// `.inc`: counts to its operand and begins again.
    pub increments: bool,
}

/// `cp.async`
pub struct Copy {
    /// Shared.
    pub to: Address,
    /// Global.
    pub from: Address,
    /// Bytes written: 4, 8 or 16.
    pub size: usize,
    /// Bytes read, the rest being zero; None for all.
    pub read: Option<Slot>,
    /// Reads nothing where this is true.
    pub ignore: Option<(Slot, bool)>,
}

/// `ldmatrix`, `stmatrix`
pub struct Matrix {
    /// Of the row that a lane names.
    pub address: Address,
    /// A register a matrix.
    pub registers: Vec<Slot>,
    /// `.trans`
    pub transposed: bool,
}

/// `mbarrier`, `cp.async.mbarrier.arrive`
pub struct Mbarrier {
    /// Shared.
    pub address: Address,
    /// What is done there.
    pub what: MbarrierUse,
}

/// What is done at an mbarrier.
#[derive(Clone, Copy, Debug)]
pub enum MbarrierUse {
    /// `.init`: arrivals of a phase.
    Init(Slot),
    /// `.inval`
    Inval,
    /// `.arrive`, `.arrive_drop`
    Arrive {
        /// Where the token of the phase goes.
        into: Option<Slot>,
        /// How many it counts for; None for one.
        count: Option<Slot>,
        /// Bytes to be announced first.
        expect: Option<Slot>,
        /// Later phases expect them no more.
        drop: bool,
        /// `.noComplete`
        no_complete: bool,
        /// No `.relaxed`.
        release: bool,
    },
    /// `.expect_tx`
    Expect(Slot),
    /// `.complete_tx`
    Complete(Slot),
    /// `cp.async.mbarrier.arrive`; `.noinc` where the phase expects it already.
    Copies {
        /// `.noinc`
        counted: bool,
    },
    /// `.test_wait`, `.try_wait`
    Wait {
        /// Whether the phase is over.
        into: Slot,
        /// Which phase.
        awaited: Awaited,
        /// No `.relaxed`.
        acquire: bool,
    },
}

/// How a wait names its phase.
#[derive(Clone, Copy, Debug)]
pub enum Awaited {
    /// By what an arrival gave.
    Token(Slot),
    /// By whether its number is odd.
    Parity(Slot),
}

/// `bar`, `barrier`
pub struct Barrier {
    /// Which one of 16.
    pub id: Slot,
    /// Threads that take part; None for all.
    pub count: Option<Slot>,
    /// Does not wait.
    pub arrive: bool,
    /// All threads of a warp come together.
    pub aligned: bool,
    /// `.red`: predicate and where the result goes.
    pub reduction: Option<Reduction>,
}

/// `bar.red`
#[derive(Clone, Copy, Debug)]
pub struct Reduction {
    /// What is reduced.
    pub kind: Vote,
    /// Where the result goes.
    pub into: Slot,
    /// What every thread brings.
    pub predicate: (Slot, bool),
}

/// How predicates become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vote {
    /// How many hold.
    Count,
    /// Whether all hold.
    All,
    /// Whether one holds.
    Any,
}

/// `call`
pub struct Call {
    /// The function's number, in a register.
    pub function: Slot,
    /// What it is given.
    pub arguments: Vec<Place>,
    /// Where its results go.
    pub results: Vec<Place>,
}

/// `call` of `vprintf`
pub struct Print {
    /// A pointer to the format.
    pub format: Place,
    /// A pointer to what it is applied to, one value behind the other.
    pub arguments: Place,
    /// Where the number of values goes.
    pub result: Option<Place>,
}

/// Where a parameter of a call lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In local memory: offset and bytes.
    Local(usize, usize),
    /// In a register.
    Register(Slot),
}

/// A function.
#[derive(Clone, Debug)]
pub struct Callable {
    /// Its name.
    pub name: String,
    /// Its first instruction.
    pub entry: usize,
    /// Its parameters.
    pub parameters: Vec<Place>,
    /// Its results.
    pub results: Vec<Place>,
    /// Whether it can be called before it has returned, so that what it holds must be kept.
    pub recursive: bool,
    /// Its registers and bytes of local memory, from and to: of its parameters, and of its body.
    pub taken: [[(Sizes, u64); 2]; 2],
}
