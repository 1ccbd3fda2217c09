//! The null engine: the server without a network. It takes batches as other engines do, computes nothing and gives logits that are all
//! 0, which is no prediction. Its device says so wherever it is named.
//!
//! It is for measuring what the server itself costs. Not here: anything that answers a question about an image.

use std::sync::Arc;

use super::host::{self, Ingest};
use super::{
    Batch, BatchId, Buckets, DeviceId, DeviceInfo, DeviceKind, Engine, Executable, LeasePool, LoadError, Loaded,
    MemoryUse, Options, Precision, RunError,
};
use crate::program::{Program, WeightSource};

const NAME: &str = "null";

/// Batches whose images may wait in leased memory: as many as on the CPU.
const LEASED_BATCHES: usize = 2;

/// Computes nothing.
#[derive(Clone, Debug)]
pub struct Null {
    devices: [DeviceInfo; 1],
}

impl Default for Null {
    fn default() -> Self {
        Self { devices: [DeviceInfo::named(NAME, DeviceKind::Null)] }
    }
}

impl Engine for Null {
    fn devices(&self) -> &[DeviceInfo] {
        &self.devices
    }

    /// Nothing in f32, of which it computes nothing; other precisions, for they would be told of models that are computed in none.
    fn unsupported(&self, _program: &Program, precision: Precision) -> Vec<String> {
        if precision == Precision::F32 { Vec::new() } else { vec!["the null engine has f32 only".to_owned()] }
    }

    /// Reads every weight, as other engines do, so that a checkpoint that is broken for them is broken here; it keeps none.
    fn load(
        &self,
        _device: DeviceId,
        program: &Program,
        weights: &dyn WeightSource,
        options: &Options,
    ) -> Result<Arc<dyn Loaded>, LoadError> {
        let ingest = host::accept(self, NAME, program, options)?;
        for weight in &program.weights {
            weight.materialise(weights)?;
        }
        Ok(Arc::new(LoadedNull { ingest, classes: program.classes() }))
    }
}

/// What is known of a program: its input and its classes.
#[derive(Clone)]
struct LoadedNull {
    ingest: Ingest,
    classes: usize,
}

impl Loaded for LoadedNull {
    fn memory(&self) -> MemoryUse {
        MemoryUse::default()
    }

    fn instantiate(&self) -> Result<Box<dyn Executable>, LoadError> {
        let most = self.ingest.max_batch();
        Ok(Box::new(NullExecutable {
            loaded: self.clone(),
            buckets: Buckets::Any(most),
            leases: LeasePool::plain(self.ingest.len(), LEASED_BATCHES * most),
            launched: None,
            batches: 0,
        }))
    }
}

/// Holds a batch until it is finished, and does nothing with it.
struct NullExecutable {
    loaded: LoadedNull,
    buckets: Buckets,
    leases: Arc<LeasePool>,
    launched: Option<(BatchId, Batch)>,
    batches: u64,
}

impl Executable for NullExecutable {
    fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    fn in_flight(&self) -> usize {
        1
    }

    fn classes(&self) -> usize {
        self.loaded.classes
    }

    fn leases(&self) -> &Arc<LeasePool> {
        &self.leases
    }

    fn launch(&mut self, batch: Batch) -> Result<BatchId, RunError> {
        host::may_launch(self.launched.is_some())?;
        self.loaded.ingest.check(&batch)?;
        self.batches += 1;
        self.launched = Some((BatchId(self.batches), batch));
        Ok(BatchId(self.batches))
    }

    fn finish(&mut self, batch: BatchId, logits: &mut [f32]) -> Result<(), RunError> {
        let launched = self.launched.as_ref().map(|(id, batch)| (*id, batch.len() * self.loaded.classes));
        host::may_finish(batch, launched, logits.len())?;
        self.launched = None;
        logits.fill(0.0);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::engine::{Image, PixelFormat};
    use crate::model::Spec;
    use crate::program::{InputSpec, RandomWeights};

    const SIDE: usize = 32;

    fn program() -> Program {
        Spec::published("convnext_atto").unwrap().program(InputSpec::imagenet(SIDE)).unwrap()
    }

    fn options() -> Options {
        Options { precision: Precision::F32, max_batch: 4, threads: 1, profile: false }
    }

    fn executable() -> Box<dyn Executable> {
        let program = program();
        let weights = RandomWeights::new(&program, 0);
        Null::default().load(DeviceId(0), &program, &weights, &options()).unwrap().instantiate().unwrap()
    }

    fn images(count: usize, format: PixelFormat) -> Batch {
        let bytes = vec![7_u8; SIDE * SIDE * 3 * format.bytes()];
        (0..count).map(|_| Image::new(format, bytes.clone())).collect()
    }

    #[test]
    fn every_image_of_every_format_gets_logits_that_are_all_zero() {
        let mut null = executable();
        assert_eq!((null.buckets(), null.in_flight(), null.classes()), (&Buckets::Any(4), 1, 1000));
        for format in [PixelFormat::Rgb8, PixelFormat::F32, PixelFormat::F16] {
            let logits = null.run(images(3, format)).unwrap();
            assert_eq!(logits.len(), 3 * 1000);
            assert!(logits.iter().all(|logit| *logit == 0.0));
        }
    }

    #[test]
    fn a_batch_that_other_engines_refuse_is_refused() {
        let mut null = executable();
        let small: Batch = [Image::new(PixelFormat::Rgb8, vec![0_u8; 3])].into_iter().collect();
        for (batch, words) in [
            (Batch::default(), "must have 1 to 4"),
            (images(5, PixelFormat::Rgb8), "must have 1 to 4"),
            (small, "an image of 3 bytes"),
        ] {
            let error = null.launch(batch).unwrap_err();
            assert!(matches!(&error, RunError::Input(why) if why.contains(words)), "{error}");
        }
        assert!(null.run(images(4, PixelFormat::Rgb8)).is_ok(), "nothing has changed");
    }

    #[test]
    fn a_batch_is_finished_once_and_by_its_id() {
        let mut null = executable();
        let first = null.launch(images(2, PixelFormat::Rgb8)).unwrap();
        assert!(matches!(null.launch(images(1, PixelFormat::Rgb8)), Err(RunError::Input(_))), "one is in flight");
        let mut logits = vec![1.0; 2 * 1000];
        assert!(matches!(null.finish(BatchId(first.0 + 1), &mut logits), Err(RunError::Input(_))));
        assert!(matches!(null.finish(first, &mut logits[1..]), Err(RunError::Input(_))));
        null.finish(first, &mut logits).unwrap();
        assert!(matches!(null.finish(first, &mut logits), Err(RunError::Input(_))));
        assert_ne!(null.launch(images(1, PixelFormat::Rgb8)).unwrap(), first);
    }

    #[test]
    fn images_are_held_until_their_batch_is_finished() {
        let mut null = executable();
        let pool = Arc::clone(null.leases());
        let lease = pool.lease().unwrap();
        let batch = null.launch([Image::new(PixelFormat::Rgb8, lease)].into_iter().collect()).unwrap();
        assert_eq!(pool.lent(), 1);
        null.finish(batch, &mut vec![0.0; 1000]).unwrap();
        assert_eq!(pool.lent(), 0);
    }

    #[test]
    fn a_checkpoint_that_lacks_a_weight_is_refused() {
        let program = program();
        let other = Spec::published("swin_tiny").unwrap().program(InputSpec::imagenet(224)).unwrap();
        let weights = RandomWeights::new(&other, 0);
        let loaded = Null::default().load(DeviceId(0), &program, &weights, &options());
        assert!(matches!(loaded, Err(LoadError::Weights(_))));
        let int8 = Options { precision: Precision::Int8, ..options() };
        let weights = RandomWeights::new(&program, 0);
        let loaded = Null::default().load(DeviceId(0), &program, &weights, &int8);
        assert!(matches!(loaded, Err(LoadError::Unsupported { .. })));
    }

    #[test]
    fn its_device_says_that_nothing_is_computed() {
        assert_eq!(Null::default().devices()[0].to_string(), "null (no network is computed)");
    }
}
