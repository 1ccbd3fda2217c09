//! What the CPU engine allocates: little more than the weights to load, nothing to run. In a binary of its own, whose
//! allocator counts.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use convnext_server::engine::{Batch, DeviceId, Engine, Executable, Image, Options, PixelFormat, Precision, cpu::Cpu};
use convnext_server::model::Spec;
use convnext_server::program::{InputSpec, Program, RandomWeights};

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST_HELD: AtomicUsize = AtomicUsize::new(0);
static ASKED: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counting bytes.
struct Counting;

#[allow(unsafe_code, reason = "an allocator is unsafe by nature")]
// SAFETY: all is handed to the system's allocator; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.fetch_add(layout.size(), Relaxed);
        let held = HELD.fetch_add(layout.size(), Relaxed) + layout.size();
        MOST_HELD.fetch_max(held, Relaxed);
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above; the memory is the system's.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn program(name: &str) -> Program {
    Spec::published(name).unwrap().program(InputSpec::imagenet(224)).unwrap()
}

fn executable(program: &Program, threads: usize) -> Box<dyn Executable> {
    let options = Options { precision: Precision::F32, max_batch: 2, threads, profile: false };
    let loaded = Cpu::default().load(DeviceId(0), program, &RandomWeights::new(program, 0), &options).unwrap();
    loaded.instantiate().unwrap()
}

/// The memory that the process has in hand, whoever gave it.
struct Resident(usize);

impl Resident {
    /// From what it is now.
    fn begin() -> Self {
        // forgets the most so far; where that is refused, what came before counts too
        drop(std::fs::write("/proc/self/clear_refs", "5"));
        Self(Self::line("VmRSS:"))
    }

    /// Bytes more, at most, since the beginning.
    fn most(&self) -> usize {
        Self::line("VmHWM:") - self.0
    }

    fn line(name: &str) -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
    }
}

/// Two images that share their memory.
fn batch() -> Batch {
    (0..2).map(|_| Image::new(PixelFormat::Rgb8, IMAGE)).collect()
}

const IMAGE: &[u8] = &[100; 224 * 224 * 3];

/// One test, since the counts are of the whole process.
#[test]
fn little_more_than_the_weights_to_load_and_nothing_to_run() {
    for small in ["convnext_small", "swin_small"].map(program) {
        let weights = 4 * small.parameters() as usize;
        let before = HELD.load(Relaxed);
        MOST_HELD.store(before, Relaxed);
        let resident = Resident::begin();
        let executable = executable(&small, 2);
        let (most, resident) = (MOST_HELD.load(Relaxed) - before, resident.most());
        let name = &small.architecture;
        // the packed weights are pages of their own, of which the allocator knows nothing
        assert!(most * 100 <= weights * 15, "{name}: {most} bytes of heap at most to load {weights} bytes of weights");
        assert!(resident >= weights, "{name}: {weights} bytes of weights are somewhere, but not in {resident}");
        assert!(resident * 100 <= weights * 115, "{name}: {resident} bytes at most to load {weights} bytes of weights");
        drop(executable);
    }

    let programs = ["convnext_atto", "swin_atto"].map(program);
    for (program, threads) in programs.iter().flat_map(|program| [(program, 1), (program, 2)]) {
        let mut executable = executable(program, threads);
        let mut logits = vec![0.0; 2 * executable.classes()];
        let mut asked = 0;
        let mut run = |asked: &mut usize| {
            let batch = batch();
            let before = ASKED.load(Relaxed);
            let id = executable.launch(batch).unwrap();
            executable.finish(id, &mut logits).unwrap();
            *asked += ASKED.load(Relaxed) - before;
        };
        run(&mut 0);
        (0..64).for_each(|_| run(&mut asked));
        // per run the task that carries the batch to the threads; rayon's queue takes a block of memory for each 63 of them
        assert!(asked <= 16 * 1024, "64 runs on {threads} threads asked for {asked} bytes");
    }
}
