//! A loaded model and its executables. A batch runs on the executable's own threads while the caller does something else.
//! Not here: the steps of a run (`plan`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::engine::cpu::error::DEVICE;
use crate::engine::cpu::parallel::context::Busy;
use crate::engine::cpu::parallel::threads::Threads;
use crate::engine::cpu::plan::IMAGES_IN_FLIGHT;
use crate::engine::cpu::plan::{Memory, Plan};
use crate::engine::cpu::simd::aligned::Aligned;
use crate::engine::host::{self, Ingest};
use crate::engine::{
    Batch, BatchId, Buckets, Executable, LeasePool, LoadError, Loaded, MemoryUse, OpTime, Options, RunError,
};
use crate::program::Cost;

/// Batches whose images may wait in leased memory: one that runs, and those that gather behind it.
const LEASED_BATCHES: usize = 2;

/// A plan with its packed weights.
pub(crate) struct Model {
    pub(crate) plan: Plan,
    pub(crate) ingest: Ingest,
    /// Bytes of all weights.
    pub(crate) weights: u64,
    pub(crate) options: Options,
}

/// A loaded model, shared by its executables.
pub(crate) struct Packed(pub(crate) Arc<Model>);

impl Loaded for Packed {
    fn memory(&self) -> MemoryUse {
        let Model { plan, ingest, options, .. } = &*self.0;
        let images = options.max_batch.min(IMAGES_IN_FLIGHT);
        let threads = options.threads.max(1);
        let per_image = plan.buffers.iter().sum::<usize>() + ingest.len();
        let numbers = per_image * images + plan.shared(threads) + plan.thread_memory() * threads;
        MemoryUse { weights: self.0.weights, executable: (numbers * size_of::<f32>()) as u64 }
    }

    fn instantiate(&self) -> Result<Box<dyn Executable>, LoadError> {
        let Model { plan, ingest, options, .. } = &*self.0;
        let threads = Threads::new(options.threads, plan.thread_memory())?;
        let images = options.max_batch.min(IMAGES_IN_FLIGHT);
        let zeros = |numbers: usize| Aligned::zeros(numbers).map_err(|error| error.loading("activations"));
        let work = Work {
            input: zeros(images * ingest.len())?,
            memory: Memory {
                buffers: plan.buffers.iter().map(|len| zeros(len * images)).collect::<Result<_, _>>()?,
                shared: zeros(plan.shared(threads.count()))?,
            },
            logits: vec![0.0; options.max_batch * plan.classes()],
            clocks: options.profile.then(|| Clocks { input: Busy::default(), steps: plan.clocks(), images: 0 }),
            batch: Batch::default(),
            ran: Ok(()),
        };
        let (report, done) = sync_channel(1);
        Ok(Box::new(Processor {
            model: Arc::clone(&self.0),
            threads: Arc::new(threads),
            buckets: Buckets::Any(options.max_batch),
            leases: LeasePool::plain(ingest.len(), LEASED_BATCHES * options.max_batch),
            state: State::Idle(Box::new(work)),
            report,
            done,
            batches: 0,
        }))
    }
}

/// What a run works in. It travels to the threads and back.
struct Work {
    /// Normalised images of a group, `[IMAGES_IN_FLIGHT, h, w, 3]`.
    input: Aligned,
    memory: Memory,
    /// `[max_batch, classes]`
    logits: Vec<f32>,
    clocks: Option<Clocks>,
    /// The images that run.
    batch: Batch,
    /// How the last run ended.
    ran: Result<(), RunError>,
}

/// What a profile keeps.
struct Clocks {
    input: Busy,
    /// By step and part of it.
    steps: Vec<Vec<Busy>>,
    images: u64,
}

/// A model with buffers and threads.
struct Processor {
    model: Arc<Model>,
    threads: Arc<Threads>,
    buckets: Buckets,
    leases: Arc<LeasePool>,
    state: State,
    /// Where the threads bring the work back.
    report: SyncSender<Box<Work>>,
    done: Receiver<Box<Work>>,
    batches: u64,
}

enum State {
    /// Nothing is in flight.
    Idle(Box<Work>),
    /// A batch of so many images is.
    Running(BatchId, usize),
    /// A run never came back.
    Lost,
}

impl Executable for Processor {
    fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    fn in_flight(&self) -> usize {
        1
    }

    fn classes(&self) -> usize {
        self.model.plan.classes()
    }

    fn leases(&self) -> &Arc<LeasePool> {
        &self.leases
    }

    fn launch(&mut self, batch: Batch) -> Result<BatchId, RunError> {
        host::may_launch(matches!(self.state, State::Running(..)))?;
        self.model.ingest.check(&batch)?;
        self.batches += 1;
        let (id, images) = (BatchId(self.batches), batch.len());
        let State::Idle(mut work) = std::mem::replace(&mut self.state, State::Lost) else { return Err(lost()) };
        self.state = State::Running(id, images);
        work.batch = batch;
        let (model, threads, report) = (Arc::clone(&self.model), Arc::clone(&self.threads), self.report.clone());
        self.threads.spawn(move || {
            let ran = catch_unwind(AssertUnwindSafe(|| work.run(&model, &threads)));
            // buffers may be anywhere after a panic
            work.ran = ran.map_err(|panic| RunError::DeviceLost(host::panic_text(&*panic)));
            work.batch = Batch::default();
            // before the work is back, so that an executable that is dropped then ends its threads itself
            drop((model, threads));
            let _ = report.send(work);
        });
        Ok(id)
    }

    fn finish(&mut self, batch: BatchId, logits: &mut [f32]) -> Result<(), RunError> {
        let launched = match self.state {
            State::Running(id, images) => Some((id, images * self.classes())),
            State::Idle(_) | State::Lost => None,
        };
        host::may_finish(batch, launched, logits.len())?;
        self.state = State::Lost;
        let work = self.done.recv().map_err(|_| lost())?;
        work.ran.clone()?;
        logits.copy_from_slice(&work.logits[..logits.len()]);
        self.state = State::Idle(work);
        Ok(())
    }

    fn profile(&self) -> Vec<OpTime> {
        let State::Idle(work) = &self.state else { return Vec::new() };
        let Some(Clocks { input, steps, images }) = &work.clocks else { return Vec::new() };
        let cost = Cost { activations: 2 * self.model.ingest.len() as u64, ..Cost::default() };
        let ingest = OpTime { name: "input".to_owned(), kind: "normalise", cost, images: *images, busy: input.time() };
        [ingest].into_iter().chain(self.model.plan.times(steps, *images)).collect()
    }
}

fn lost() -> RunError {
    RunError::DeviceLost(format!("the threads of {DEVICE} have ended"))
}

impl Work {
    /// Computes the logits of the batch, in groups of [`IMAGES_IN_FLIGHT`].
    fn run(&mut self, model: &Model, threads: &Threads) {
        let Self { input, memory, logits, clocks, batch, .. } = self;
        let Model { plan, ingest, .. } = model;
        let groups = batch.images().chunks(IMAGES_IN_FLIGHT);
        for (group, logits) in groups.zip(logits.chunks_mut(IMAGES_IN_FLIGHT * plan.classes())) {
            let input = &mut input[..group.len() * ingest.len()];
            let clock = clocks.as_ref().map(|clocks| &clocks.input);
            threads.each_chunk(input, ingest.len(), |index, into| {
                let began = clock.map(|_| std::time::Instant::now());
                ingest.normalise(&group[index], into);
                if let Some((clock, began)) = clock.zip(began) {
                    clock.add(began.elapsed());
                }
            });
            let steps = clocks.as_ref().map(|clocks| &clocks.steps[..]);
            plan.run((threads, steps), input, memory, &mut logits[..group.len() * plan.classes()]);
        }
        if let Some(clocks) = clocks {
            clocks.images += batch.len() as u64;
        }
    }
}
