//! The threads of an executable, each with memory of its own. Not here: how work is cut into tasks (`tile`).

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::engine::LoadError;
use crate::engine::cpu::error::DEVICE;
use crate::engine::cpu::simd::aligned::Aligned;

/// A pool of this executable's own.
pub(crate) struct Threads {
    pool: rayon::ThreadPool,
    /// What each thread works in.
    memory: Vec<Mutex<Aligned>>,
}

/// The thread that runs a task.
pub(crate) struct Worker<'a> {
    memory: &'a Mutex<Aligned>,
}

impl Threads {
    /// `count` threads, none counting as one, that each have room for `memory` numbers.
    pub(crate) fn new(count: usize, memory: usize) -> Result<Self, LoadError> {
        let count = count.max(1);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(count).thread_name(|index| format!("cpu-{index}"));
        let pool = pool.build().map_err(|cause| LoadError::Device {
            device: DEVICE.to_owned(),
            why: format!("{count} threads cannot be started: {cause}"),
        })?;
        let memory = (0..count).map(|_| Aligned::zeros(memory).map(Mutex::new));
        let memory = memory.collect::<Result<_, _>>().map_err(|error| error.loading("what each thread works in"))?;
        Ok(Self { pool, memory })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.memory.len()
    }

    /// Runs a whole batch on the threads, so that its many small loops start without waking anybody; returns at once.
    pub(crate) fn spawn(&self, work: impl FnOnce() + Send + 'static) {
        self.pool.spawn(work);
    }

    /// Runs `task` for each index below `count`, in any order, and waits for all.
    pub(crate) fn each(&self, count: usize, task: impl Fn(usize, Worker<'_>) + Sync + Send) {
        if self.count() == 1 {
            return (0..count).for_each(|index| task(index, Worker { memory: &self.memory[0] }));
        }
        self.pool.install(|| {
            (0..count).into_par_iter().with_max_len(1).for_each(|index| {
                let thread = rayon::current_thread_index().unwrap_or(0);
                task(index, Worker { memory: &self.memory[thread] });
            });
        });
    }

    /// Runs `task` for each chunk of so many numbers, with its index, in any order, and waits for all.
    pub(crate) fn each_chunk(&self, values: &mut [f32], len: usize, task: impl Fn(usize, &mut [f32]) + Sync + Send) {
        if self.count() == 1 {
            return values.chunks_mut(len).enumerate().for_each(|(index, chunk)| task(index, chunk));
        }
        self.pool.install(|| values.par_chunks_mut(len).enumerate().for_each(|(index, chunk)| task(index, chunk)));
    }

    /// Runs `task` once on each thread, and waits for all.
    pub(crate) fn broadcast(&self, task: impl Fn(Worker<'_>) + Sync) {
        if self.count() == 1 {
            return task(Worker { memory: &self.memory[0] });
        }
        self.pool.broadcast(|context| task(Worker { memory: &self.memory[context.index()] }));
    }
}

impl Worker<'_> {
    /// Runs `work` with the thread's memory, whatever is left in it.
    pub(crate) fn with_memory<R>(self, work: impl FnOnce(&mut [f32]) -> R) -> R {
        // nobody else asks for it while the task runs; a task that panicked leaves numbers like any others
        work(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
