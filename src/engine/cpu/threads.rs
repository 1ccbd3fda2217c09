//! The threads of an executable. Not here: how work is cut into tasks (`tile`).

use rayon::prelude::*;

/// The calling thread alone, or a pool of this executable's own.
pub(super) enum Threads {
    /// One thread: nothing is handed over, nobody is woken.
    Caller,
    /// More than one, named `cpu-0` and so on.
    Pool(rayon::ThreadPool),
}

impl Threads {
    /// `count` threads; none counts as one.
    pub(super) fn new(count: usize) -> Result<Self, rayon::ThreadPoolBuildError> {
        if count <= 1 {
            return Ok(Self::Caller);
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(count).thread_name(|index| format!("cpu-{index}"));
        pool.build().map(Self::Pool)
    }

    /// Runs a whole batch inside the pool, so that its many small loops start without waking anybody.
    pub(super) fn enter(&self, work: impl FnOnce() + Send) {
        match self {
            Self::Caller => work(),
            Self::Pool(pool) => pool.install(work),
        }
    }

    /// Runs `task` for each index below `count`, in any order, and waits for all.
    pub(super) fn each(&self, count: usize, task: impl Fn(usize) + Sync + Send) {
        match self {
            Self::Caller => (0..count).for_each(task),
            Self::Pool(pool) => pool.install(|| (0..count).into_par_iter().for_each(task)),
        }
    }
}
