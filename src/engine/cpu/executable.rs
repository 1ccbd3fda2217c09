//! A loaded model and its executables. A batch runs on the executable's own threads while the caller does something else.
//!
//! Not here: the steps of a run (`plan`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use crate::engine::cpu::error::DEVICE;
use crate::engine::cpu::parallel::clock::BusyTime;
use crate::engine::cpu::parallel::threads::Threads;
use crate::engine::cpu::plan::{GROUP_IMAGES, Plan, Workspace};
use crate::engine::cpu::simd::aligned::Aligned;
use crate::engine::host::{self, Ingest};
use crate::engine::{
    Batch, BatchId, Buckets, Executable, LeasePool, LoadError, Loaded, MemoryUse, OpTime, Options, RunError,
};
use crate::panics;
use crate::program::Cost;

/// Batches whose images may wait in leased memory: the one that runs, and the one that gathers behind it.
const LEASED_BATCHES: usize = 2;

/// A plan with its packed weights, and how images become its input.
pub(crate) struct Model {
    pub(crate) plan: Plan,
    pub(crate) ingest: Ingest,
    /// Bytes of all weights, without the padding of packed ones.
    pub(crate) weights: u64,
    pub(crate) options: Options,
}

/// A loaded model. Its executables share it.
pub(crate) struct CpuLoaded(pub(crate) Arc<Model>);

impl Loaded for CpuLoaded {
    fn memory(&self) -> MemoryUse {
        let Model { plan, ingest, options, .. } = &*self.0;
        let images = options.max_batch.min(GROUP_IMAGES);
        let threads = options.threads.max(1);
        let per_image = plan.buffers.iter().sum::<usize>() + ingest.len();
        let floats = per_image * images + plan.shared_memory(threads) + plan.thread_memory() * threads;
        MemoryUse { weights: self.0.weights, executable: (floats * size_of::<f32>()) as u64 }
    }

    fn instantiate(&self) -> Result<Box<dyn Executable>, LoadError> {
        let Model { plan, ingest, options, .. } = &*self.0;
        let threads = Threads::new(options.threads, plan.thread_memory())?;
        let images = options.max_batch.min(GROUP_IMAGES);
        let zeros = |floats: usize| Aligned::zeros(floats).map_err(|error| error.loading("activations"));
        let run = BatchRun {
            input: zeros(images * ingest.len())?,
            workspace: Workspace {
                buffers: plan.buffers.iter().map(|len| zeros(len * images)).collect::<Result<_, _>>()?,
                shared: zeros(plan.shared_memory(threads.count()))?,
            },
            logits: vec![0.0; options.max_batch * plan.classes()],
            profile: options.profile.then(|| Profile {
                input: BusyTime::default(),
                steps: plan.busy_times(),
                images: 0,
            }),
            batch: Batch::default(),
            result: Ok(()),
        };
        let (finished, finished_runs) = sync_channel(1);
        Ok(Box::new(CpuExecutable {
            model: Arc::clone(&self.0),
            threads: Arc::new(threads),
            buckets: Buckets::Any(options.max_batch),
            leases: LeasePool::plain(ingest.len(), LEASED_BATCHES * options.max_batch),
            state: State::Idle(Box::new(run)),
            finished,
            finished_runs,
            batches: 0,
        }))
    }
}

/// A batch and all that its run writes to. It goes to the threads and comes back.
struct BatchRun {
    /// Normalised images of a group, `[GROUP_IMAGES, h, w, 3]`.
    input: Aligned,
    workspace: Workspace,
    /// `[max_batch, classes]`
    logits: Vec<f32>,
    profile: Option<Profile>,
    batch: Batch,
    /// How the last run ended.
    result: Result<(), RunError>,
}

/// Times since instantiation.
struct Profile {
    /// Of normalising images.
    input: BusyTime,
    /// By step, and by timed operation of it.
    steps: Vec<Vec<BusyTime>>,
    images: u64,
}

/// A model with buffers and threads.
struct CpuExecutable {
    model: Arc<Model>,
    threads: Arc<Threads>,
    buckets: Buckets,
    leases: Arc<LeasePool>,
    state: State,
    /// How the threads give a run back.
    finished: SyncSender<Box<BatchRun>>,
    finished_runs: Receiver<Box<BatchRun>>,
    batches: u64,
}

enum State {
    /// Nothing is in flight.
    Idle(Box<BatchRun>),
    /// This batch is in flight. It has this number of images.
    Running(BatchId, usize),
    /// A run did not come back from the threads.
    Lost,
}

impl Executable for CpuExecutable {
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
        let State::Idle(mut run) = std::mem::replace(&mut self.state, State::Lost) else { return Err(lost()) };
        self.state = State::Running(id, images);
        run.batch = batch;
        let (model, threads, finished) = (Arc::clone(&self.model), Arc::clone(&self.threads), self.finished.clone());
        self.threads.spawn(move || {
            let result = catch_unwind(AssertUnwindSafe(|| run.compute(&model, &threads)));
            // after a panic a buffer may be missing
            run.result = result.map_err(|panic| RunError::DeviceLost(panics::text(&*panic)));
            run.batch = Batch::default();
            // dropped before the run is back: whoever then drops the executable ends its threads, not one of these threads
            drop((model, threads));
            let _ = finished.send(run);
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
        let run = self.finished_runs.recv().map_err(|_| lost())?;
        run.result.clone()?;
        logits.copy_from_slice(&run.logits[..logits.len()]);
        self.state = State::Idle(run);
        Ok(())
    }

    fn profile(&self) -> Vec<OpTime> {
        let State::Idle(run) = &self.state else { return Vec::new() };
        let Some(Profile { input, steps, images }) = &run.profile else { return Vec::new() };
        let cost = Cost { activations: 2 * self.model.ingest.len() as u64, ..Cost::default() };
        let ingest = OpTime { name: "input".to_owned(), kind: "normalise", cost, images: *images, busy: input.get() };
        [ingest].into_iter().chain(self.model.plan.op_times(steps, *images)).collect()
    }
}

fn lost() -> RunError {
    RunError::DeviceLost(format!("the threads of {DEVICE} have ended"))
}

impl BatchRun {
    /// Computes the logits of the batch, in groups of [`GROUP_IMAGES`].
    fn compute(&mut self, model: &Model, threads: &Threads) {
        let Self { input, workspace, logits, profile, batch, .. } = self;
        let Model { plan, ingest, .. } = model;
        let groups = batch.images().chunks(GROUP_IMAGES);
        for (group, logits) in groups.zip(logits.chunks_mut(GROUP_IMAGES * plan.classes())) {
            let input = &mut input[..group.len() * ingest.len()];
            let time = profile.as_ref().map(|profile| &profile.input);
            threads.each_chunk(input, ingest.len(), |index, into| {
                let started = time.map(|_| Instant::now());
                ingest.normalise(&group[index], into);
                if let Some((time, started)) = time.zip(started) {
                    time.add(started.elapsed());
                }
            });
            let times = profile.as_ref().map(|profile| &profile.steps[..]);
            plan.run((threads, times), input, workspace, &mut logits[..group.len() * plan.classes()]);
        }
        if let Some(profile) = profile {
            profile.images += batch.len() as u64;
        }
    }
}
