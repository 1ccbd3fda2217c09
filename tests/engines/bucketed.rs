//! An engine that behaves like one on a GPU, and computes with the reference: fixed buckets, two batches in flight, bits that depend on
//! the bucket, and image memory of its own. A batch runs when somebody waits for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use convnext_server::engine::reference::Reference;
use convnext_server::engine::{
    Batch, BatchId, Buckets, DeviceId, DeviceInfo, DeviceKind, Engine, Executable, Image, LeasePool, LoadError, Loaded,
    MemoryUse, Options, Precision, RunError,
};
use convnext_server::program::{Program, WeightSource};

/// Batches that may be in flight.
const IN_FLIGHT: usize = 2;

pub(crate) struct Bucketed {
    reference: Reference,
    devices: [DeviceInfo; 1],
}

impl Default for Bucketed {
    fn default() -> Self {
        Self { reference: Reference::default(), devices: [DeviceInfo::named("bucketed", DeviceKind::Test)] }
    }
}

impl Engine for Bucketed {
    fn devices(&self) -> &[DeviceInfo] {
        &self.devices
    }

    fn unsupported(&self, program: &Program, precision: Precision) -> Vec<String> {
        self.reference.unsupported(program, precision)
    }

    fn load(
        &self,
        device: DeviceId,
        program: &Program,
        weights: &dyn WeightSource,
        options: &Options,
    ) -> Result<Arc<dyn Loaded>, LoadError> {
        let sizes: Vec<usize> = std::iter::successors(Some(1), |size| Some(size * 2))
            .take_while(|size| *size < 2 * options.max_batch)
            .collect();
        let largest = sizes.last().copied().unwrap_or(0);
        let options = Options { max_batch: largest, ..*options };
        let inner = self.reference.load(device, program, weights, &options)?;
        let image = program.input.height * program.input.width * 3;
        Ok(Arc::new(Weights { inner, sizes, image }))
    }
}

struct Weights {
    inner: Arc<dyn Loaded>,
    sizes: Vec<usize>,
    image: usize,
}

impl Loaded for Weights {
    fn memory(&self) -> MemoryUse {
        self.inner.memory()
    }

    fn instantiate(&self) -> Result<Box<dyn Executable>, LoadError> {
        Ok(Box::new(Stream {
            inner: self.inner.instantiate()?,
            buckets: Buckets::Fixed(self.sizes.clone()),
            leases: LeasePool::plain(self.image, 3),
            launched: BTreeMap::new(),
            batches: 0,
        }))
    }
}

struct Stream {
    inner: Box<dyn Executable>,
    buckets: Buckets,
    leases: Arc<LeasePool>,
    launched: BTreeMap<BatchId, Batch>,
    batches: u64,
}

impl Executable for Stream {
    fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    fn in_flight(&self) -> usize {
        IN_FLIGHT
    }

    fn classes(&self) -> usize {
        self.inner.classes()
    }

    fn leases(&self) -> &Arc<LeasePool> {
        &self.leases
    }

    fn launch(&mut self, batch: Batch) -> Result<BatchId, RunError> {
        if self.launched.len() == IN_FLIGHT {
            return Err(RunError::Input("two batches are in flight".to_owned()));
        }
        // the reference checks a batch only by running it
        let copy: Batch = batch.images().iter().map(copied).collect();
        self.inner.run(copy)?;
        self.batches += 1;
        self.launched.insert(BatchId(self.batches), batch);
        Ok(BatchId(self.batches))
    }

    fn finish(&mut self, id: BatchId, logits: &mut [f32]) -> Result<(), RunError> {
        let batch = self.launched.get(&id).ok_or_else(|| RunError::Input("not in flight".to_owned()))?;
        if logits.len() != batch.len() * self.classes() {
            return Err(RunError::Input("the logits do not fit".to_owned()));
        }
        let batch = self.launched.remove(&id).unwrap();
        // the images are read only now, as a copy to a device would
        let padding = (batch.len()..self.buckets.of(batch.len())).map(|_| &batch.images()[0]);
        let padded: Batch = batch.images().iter().chain(padding).map(copied).collect();
        let scale = 1.0 + 1e-6 * padded.len() as f32;
        let all = self.inner.run(padded)?;
        logits.iter_mut().zip(all).for_each(|(out, logit)| *out = logit * scale);
        Ok(())
    }
}

fn copied(image: &Image) -> Image {
    Image::new(image.format(), image.bytes().to_vec())
}
