//! The threads of an executable, each with memory of its own. Not here: how an output is cut into tasks (`tile`).

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::engine::LoadError;
use crate::engine::cpu::error::DEVICE;
use crate::engine::cpu::simd::aligned::Aligned;

/// A thread pool that belongs to one executable.
pub(crate) struct Threads {
    pool: rayon::ThreadPool,
    /// Per thread.
    memory: Vec<Mutex<Aligned>>,
}

/// The memory of the thread that runs a task.
pub(crate) struct ThreadMemory<'a>(&'a Mutex<Aligned>);

impl Threads {
    /// Starts `count` threads, but at least one. Each has memory for `memory` floats.
    pub(crate) fn new(count: usize, memory: usize) -> Result<Self, LoadError> {
        let count = count.max(1);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(count).thread_name(|index| format!("cpu-{index}"));
        let pool = pool.build().map_err(|cause| LoadError::Device {
            device: DEVICE.to_owned(),
            why: format!("{count} threads cannot be started: {cause}"),
        })?;
        let memory = (0..count).map(|_| Aligned::zeros(memory).map(Mutex::new));
        let memory = memory.collect::<Result<_, _>>().map_err(|error| error.loading("the memory of each thread"))?;
        Ok(Self { pool, memory })
    }

    /// Number of threads.
    pub(crate) fn count(&self) -> usize {
        self.memory.len()
    }

    /// Runs `work` on one of the threads and returns at once. Loops that `work` starts on the threads need not wake a thread first.
    pub(crate) fn spawn(&self, work: impl FnOnce() + Send + 'static) {
        self.pool.spawn(work);
    }

    /// Runs `task` for each index below `count`, in any order, and waits until all have ended.
    pub(crate) fn each(&self, count: usize, task: impl Fn(usize, ThreadMemory<'_>) + Sync + Send) {
        if self.count() == 1 {
            return (0..count).for_each(|index| task(index, ThreadMemory(&self.memory[0])));
        }
        self.pool.install(|| {
            (0..count).into_par_iter().with_max_len(1).for_each(|index| {
                let thread = rayon::current_thread_index().unwrap_or(0);
                task(index, ThreadMemory(&self.memory[thread]));
            });
        });
    }

    /// Runs `task` for each chunk of `len` floats and its index, in any order, and waits until all have ended.
    pub(crate) fn each_chunk(&self, values: &mut [f32], len: usize, task: impl Fn(usize, &mut [f32]) + Sync + Send) {
        if self.count() == 1 {
            return values.chunks_mut(len).enumerate().for_each(|(index, chunk)| task(index, chunk));
        }
        self.pool.install(|| values.par_chunks_mut(len).enumerate().for_each(|(index, chunk)| task(index, chunk)));
    }

    /// Runs `task` once on each thread, and waits until all have ended.
    pub(crate) fn broadcast(&self, task: impl Fn(ThreadMemory<'_>) + Sync) {
        if self.count() == 1 {
            return task(ThreadMemory(&self.memory[0]));
        }
        self.pool.broadcast(|context| task(ThreadMemory(&self.memory[context.index()])));
    }
}

impl ThreadMemory<'_> {
    /// Runs `work` with the memory, which holds what the last task left in it.
    pub(crate) fn with<R>(self, work: impl FnOnce(&mut [f32]) -> R) -> R {
        // no other task asks for it while this one runs; what a panicked task left is overwritten like anything else
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
