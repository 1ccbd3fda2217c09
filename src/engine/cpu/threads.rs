//! The threads of an executable, each with memory of its own. Not here: how work is cut into tasks (`tile`).

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::aligned::{Aligned, NoMemory};

/// The calling thread alone, or a pool of this executable's own.
pub(super) struct Threads {
    /// None for one thread: nothing is handed over, nobody is woken.
    pool: Option<rayon::ThreadPool>,
    /// What each thread works in.
    memory: Vec<Mutex<Aligned>>,
}

/// The thread that runs a task.
pub(super) struct Worker<'a> {
    memory: &'a Mutex<Aligned>,
}

/// Threads could not be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum ThreadsError {
    #[error("{0} threads cannot be started: {1}")]
    Start(usize, rayon::ThreadPoolBuildError),
    #[error("{0} for what each thread works in")]
    Memory(#[from] NoMemory),
}

impl Threads {
    /// `count` threads, none counting as one, that each have room for `memory` numbers.
    pub(super) fn new(count: usize, memory: usize) -> Result<Self, ThreadsError> {
        let count = count.max(1);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(count).thread_name(|index| format!("cpu-{index}"));
        let pool = (count > 1).then(|| pool.build()).transpose().map_err(|cause| ThreadsError::Start(count, cause))?;
        let memory = (0..count).map(|_| Aligned::zeros(memory).map(Mutex::new)).collect::<Result<_, _>>()?;
        Ok(Self { pool, memory })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.memory.len()
    }

    /// Runs a whole batch inside the pool, so that its many small loops start without waking anybody.
    pub(super) fn enter(&self, work: impl FnOnce() + Send) {
        match &self.pool {
            None => work(),
            Some(pool) => pool.install(work),
        }
    }

    /// Runs `task` for each index below `count`, in any order, and waits for all.
    pub(super) fn each(&self, count: usize, task: impl Fn(usize, Worker<'_>) + Sync + Send) {
        match &self.pool {
            None => (0..count).for_each(|index| task(index, Worker { memory: &self.memory[0] })),
            Some(pool) => pool.install(|| {
                (0..count).into_par_iter().with_max_len(1).for_each(|index| {
                    let thread = rayon::current_thread_index().unwrap_or(0);
                    task(index, Worker { memory: &self.memory[thread] });
                });
            }),
        }
    }

    /// Runs `task` once on each thread, and waits for all.
    pub(super) fn broadcast(&self, task: impl Fn(Worker<'_>) + Sync) {
        match &self.pool {
            None => task(Worker { memory: &self.memory[0] }),
            Some(pool) => {
                pool.broadcast(|context| task(Worker { memory: &self.memory[context.index()] }));
            }
        }
    }
}

impl Worker<'_> {
    /// Runs `work` with the thread's memory, whatever is left in it.
    pub(super) fn with_memory<R>(self, work: impl FnOnce(&mut [f32]) -> R) -> R {
        // nobody else asks for it while the task runs; a task that panicked leaves numbers like any others
        work(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
