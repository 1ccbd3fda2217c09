//! Which values share memory: a value's buffer is free again after the last step that reads it.
//! Not here: the buffers themselves, and what a value is (`plan`).

/// What a step does with values, by their indices.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    /// Values that are read.
    pub(crate) reads: Vec<usize>,
    /// The value that is written.
    pub(crate) writes: usize,
    /// A value that lives only during the step.
    pub(crate) scratch: Option<usize>,
}

impl Access {
    fn values(&self) -> impl Iterator<Item = usize> {
        self.reads.iter().copied().chain(self.scratch).chain([self.writes])
    }
}

/// The buffers of a plan.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arena {
    /// Elements of each buffer, an image.
    pub(crate) buffers: Vec<usize>,
    /// The buffer of each value; None for one that no step writes: the input.
    pub(crate) places: Vec<Option<usize>>,
}

impl Arena {
    /// Places values of these sizes. No value shares a buffer with one that is alive at the same time, nor a step's output
    /// with what the step reads: kernels need not work in place.
    pub(crate) fn new(steps: &[Access], sizes: &[usize], output: usize) -> Self {
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Steps that each read one or two of the values before them, some with a scratch; value 0 is the input.
    fn accesses() -> impl Strategy<Value = (Vec<Access>, Vec<usize>)> {
        let step =
            (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>(), 1usize..100, 1usize..100);
        prop::collection::vec(step, 1..30).prop_map(|steps| {
            let (mut sizes, mut written, mut accesses) = (vec![10], vec![0], Vec::new());
            for (first, second, with_scratch, size, scratch_size) in steps {
                let reads = vec![*first.get(&written), *second.get(&written)];
                let scratch = with_scratch.then_some(sizes.len());
                sizes.extend(scratch.map(|_| scratch_size));
                accesses.push(Access { reads, writes: sizes.len(), scratch });
                written.push(sizes.len());
                sizes.push(size);
            }
            (accesses, sizes)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_step_writes_over_a_value_that_is_still_needed((steps, sizes) in accesses()) {
            let output = steps.last().unwrap().writes;
            let arena = Arena::new(&steps, &sizes, output);
            // what each buffer holds while the steps run
            let mut holds: Vec<Option<usize>> = vec![None; arena.buffers.len()];
            for step in &steps {
                for value in step.scratch.into_iter().chain([step.writes]) {
                    let buffer = arena.places[value].unwrap();
                    prop_assert!(arena.buffers[buffer] >= sizes[value]);
                    holds[buffer] = Some(value);
                }
                for value in step.values().filter(|value| *value != 0) {
                    prop_assert_eq!(holds[arena.places[value].unwrap()], Some(value));
                }
            }
            prop_assert_eq!(holds[arena.places[output].unwrap()], Some(output));
            prop_assert_eq!(arena.places[0], None);
        }
    }

    #[test]
    fn a_chain_of_any_length_needs_two_buffers() {
        let steps: Vec<Access> = (0..20).map(|i| Access { reads: vec![i], writes: i + 1, scratch: None }).collect();
        let sizes: Vec<usize> = (0..=20).map(|i| 100 - i).collect();
        assert_eq!(Arena::new(&steps, &sizes, 20).buffers, [99, 98]);
    }
}
