//! Which buffer holds each value. A buffer is free again after the last step that reads its value.
//!
//! Not here: the memory itself, and what a value is (`fuse`).

/// The values that a step reads and writes, by their indices.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    /// One value, or two of which the second is a residual.
    pub(crate) reads: Vec<usize>,
    /// The output.
    pub(crate) writes: usize,
    /// A value that no other step uses.
    pub(crate) scratch: Option<usize>,
}

impl Access {
    /// All values of the step.
    fn values(&self) -> impl Iterator<Item = usize> {
        self.reads.iter().copied().chain(self.scratch).chain([self.writes])
    }
}

/// Buffers, and the values that they hold.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Buffers {
    /// Elements of each buffer, per image.
    pub(crate) sizes: Vec<usize>,
    /// The buffer of each value; None for the input, which no step writes.
    pub(crate) of_value: Vec<Option<usize>>,
}

impl Buffers {
    /// Assigns a buffer to each value; `sizes` are elements per image, and `output` is needed after the last step.
    ///
    /// Values that are needed at the same time have different buffers. So do the input and the output of a step: kernels need not
    /// work in place.
    pub(crate) fn assign(steps: &[Access], sizes: &[usize], output: usize) -> Self {
        let mut assigned = Self { sizes: Vec::new(), of_value: vec![None; sizes.len()] };
        let mut last_use = vec![0; sizes.len()];
        for (index, step) in steps.iter().enumerate() {
            step.values().for_each(|value| last_use[value] = index);
        }
        last_use[output] = steps.len();
        let mut free = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            for value in step.scratch.into_iter().chain([step.writes]) {
                assigned.of_value[value] = Some(assigned.take(&mut free, sizes[value]));
            }
            for value in step.values().filter(|value| last_use[*value] == index) {
                // a step may read the same value twice; its buffer is freed once
                free.extend(assigned.of_value[value].filter(|buffer| !free.contains(buffer)));
            }
        }
        assigned
    }

    /// Takes the smallest free buffer that is large enough, or grows the largest, or adds one.
    fn take(&mut self, free: &mut Vec<usize>, size: usize) -> usize {
        let fits =
            free.iter().enumerate().filter(|(_, b)| self.sizes[**b] >= size).min_by_key(|(_, b)| self.sizes[**b]);
        let largest = || free.iter().enumerate().max_by_key(|(_, b)| self.sizes[**b]);
        let Some(index) = fits.or_else(largest).map(|(index, _)| index) else {
            self.sizes.push(size);
            return self.sizes.len() - 1;
        };
        let buffer = free.swap_remove(index);
        self.sizes[buffer] = self.sizes[buffer].max(size);
        buffer
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Steps that each read one or two of the values before them, some with a scratch value. Value 0 is the input.
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
            let assigned = Buffers::assign(&steps, &sizes, output);
            // the value in each buffer while the steps run
            let mut holds: Vec<Option<usize>> = vec![None; assigned.sizes.len()];
            for step in &steps {
                for value in step.scratch.into_iter().chain([step.writes]) {
                    let buffer = assigned.of_value[value].unwrap();
                    prop_assert!(assigned.sizes[buffer] >= sizes[value]);
                    holds[buffer] = Some(value);
                }
                for value in step.values().filter(|value| *value != 0) {
                    prop_assert_eq!(holds[assigned.of_value[value].unwrap()], Some(value));
                }
            }
            prop_assert_eq!(holds[assigned.of_value[output].unwrap()], Some(output));
            prop_assert_eq!(assigned.of_value[0], None);
        }
    }

    #[test]
    fn a_chain_of_any_length_needs_two_buffers() {
        let steps: Vec<Access> = (0..20).map(|i| Access { reads: vec![i], writes: i + 1, scratch: None }).collect();
        let sizes: Vec<usize> = (0..=20).map(|i| 100 - i).collect();
        assert_eq!(Buffers::assign(&steps, &sizes, 20).sizes, [99, 98]);
    }
}
