//! Which values share memory: a value's buffer is free again after the last step that reads it.
//! Not here: the buffers themselves, and what a value is (`plan`).

/// What a step does with values, by their indices.
#[derive(Clone, Debug, Default)]
pub(super) struct Access {
    /// Values that are read.
    pub(super) reads: Vec<usize>,
    /// The value that is written.
    pub(super) writes: usize,
    /// A value that lives only during the step.
    pub(super) scratch: Option<usize>,
}

impl Access {
    fn values(&self) -> impl Iterator<Item = usize> {
        self.reads.iter().copied().chain(self.scratch).chain([self.writes])
    }
}

/// The buffers of a plan.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arena {
    /// Elements of each buffer, an image.
    pub(super) buffers: Vec<usize>,
    /// The buffer of each value; None for one that no step writes: the input.
    pub(super) places: Vec<Option<usize>>,
}

impl Arena {
    /// Places values of these sizes. No value shares a buffer with one that is alive at the same time, nor a step's output
    /// with what the step reads: kernels need not work in place.
    pub(super) fn new(steps: &[Access], sizes: &[usize], output: usize) -> Self {
        let mut arena = Self { buffers: Vec::new(), places: vec![None; sizes.len()] };
        let mut last_use = vec![0; sizes.len()];
        for (index, step) in steps.iter().enumerate() {
            step.values().for_each(|value| last_use[value] = index);
        }
        last_use[output] = steps.len();
        let mut free = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            for value in step.scratch.into_iter().chain([step.writes]) {
                arena.places[value] = Some(arena.take(&mut free, sizes[value]));
            }
            for value in step.values().filter(|value| last_use[*value] == index) {
                // a value that is read twice by its last step is freed once
                free.extend(arena.places[value].filter(|buffer| !free.contains(buffer)));
            }
        }
        arena
    }

    /// The smallest free buffer that is large enough; or the largest, grown; or a new one.
    fn take(&mut self, free: &mut Vec<usize>, size: usize) -> usize {
        let fits =
            free.iter().enumerate().filter(|(_, b)| self.buffers[**b] >= size).min_by_key(|(_, b)| self.buffers[**b]);
        let largest = || free.iter().enumerate().max_by_key(|(_, b)| self.buffers[**b]);
        let Some(at) = fits.or_else(largest).map(|(at, _)| at) else {
            self.buffers.push(size);
            return self.buffers.len() - 1;
        };
        let buffer = free.swap_remove(at);
        self.buffers[buffer] = self.buffers[buffer].max(size);
        buffer
    }
}
