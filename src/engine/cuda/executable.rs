//! A model with its memory, streams and graphs: a batch is copied on one stream while the batch before computes on the other.
//!
//! Everything is allocated once. Each slot, of which there are two, has the images and the logits of a batch, and a graph for each bucket; graphs
//! share the arena, for they run one after another. Not here: what a graph launches (`plan`).

use std::sync::Arc;

use super::driver::error::DriverError;
use super::driver::gpu::Gpu;
use super::driver::memory::Allocation;
use super::driver::pinned::Pinned;
use super::driver::stream::{Event, Graph, Stream};
use super::loaded::{IN_FLIGHT, Model};
use super::number::Type;
use super::operations::patch_embedding;
use super::plan::{Memory, Plan, Step};
use crate::engine::{Batch, BatchId, Buckets, Executable, Image, Launched, LeasePool, LoadError, RunError};
use crate::program::{Program, WeightSource};

/// Batches whose images may wait in pinned memory.
const LEASED_BATCHES: usize = 3;

/// A model ready to run. Fields are dropped in this order: graphs before what they read and write.
pub(crate) struct CudaExecutable {
    slots: Vec<Slot>,
    compute: Stream,
    copy: Stream,
    arena: Allocation,
    /// Counters of the kernels, which all graphs share as they do the arena. Every launch leaves them 0.
    tickets: Allocation,
    buckets: Buckets,
    leases: Arc<LeasePool>,
    model: Arc<Model>,
    batches: u64,
}

/// The images of a batch, its logits, and what computes one of the other.
struct Slot {
    /// One for each bucket.
    graphs: Vec<Graph>,
    /// The images as they came, with their formats; on the device.
    images: Allocation,
    logits: Allocation,
    /// Formats of the images, `[max_batch]` of u32, for the copy.
    formats: Pinned,
    /// Logits, once the batch is through.
    results: Pinned,
    /// The images are on the device.
    copied: Event,
    /// The logits are in `results`.
    done: Event,
    running: Option<Running>,
}

/// A batch that was launched. Its images are held until the device has read them.
struct Running {
    id: BatchId,
    batch: Batch,
}

impl CudaExecutable {
    pub(crate) fn new(model: &Arc<Model>) -> Result<Self, DriverError> {
        let gpu = &model.gpu;
        let (compute, copy) = (Stream::new(gpu)?, Stream::new(gpu)?);
        let arena = Allocation::new(gpu, model.arena_bytes())?;
        let tickets = Allocation::new(gpu, model.tickets_bytes())?;
        compute.fill(tickets.array(0, tickets.bytes(), Type::U8), 0)?;
        let slots = (0..IN_FLIGHT).map(|_| Slot::new(model, &compute, &arena, &tickets)).collect::<Result<_, _>>()?;
        let image = model.input.height * model.input.width * 3;
        let pinning = Arc::clone(gpu);
        let leases = LeasePool::new(image, LEASED_BATCHES * model.max_batch(), move || {
            Some(Box::new(Pinned::new(&pinning, image).ok()?))
        });
        let buckets = Buckets::Fixed(model.plans.iter().map(|plan| plan.images).collect());
        Ok(Self { slots, compute, copy, arena, tickets, buckets, leases, model: Arc::clone(model), batches: 0 })
    }

    /// The memory of a run in a slot.
    pub(crate) fn memory(&self, slot: usize) -> Memory {
        let Slot { images, logits, .. } = &self.slots[slot];
        memory(&self.model, &self.arena, &self.tickets, images, logits)
    }

    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    pub(crate) fn compute(&self) -> &Stream {
        &self.compute
    }

    /// Copies images into a slot of which nothing is under way, and waits until they are there.
    pub(crate) fn fill(&mut self, slot: usize, images: &[Image]) -> Result<(), DriverError> {
        self.copy_images(slot, images)?;
        self.copy.wait()
    }

    /// Runs the graph of a bucket in a slot, and waits for its logits.
    pub(crate) fn replay(&mut self, slot: usize, bucket: usize) -> Result<Vec<f32>, DriverError> {
        let images = self.model.plans[bucket].images;
        let slot = &mut self.slots[slot];
        slot.graphs[bucket].launch()?;
        slot.collect(&self.compute, &self.model, images)?;
        slot.done.wait()?;
        Ok(slot.results.as_ref()[..4 * images * self.model.classes]
            .as_chunks()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b))
            .collect())
    }

    /// Queues the copies of a batch's images and formats.
    fn copy_images(&mut self, slot: usize, images: &[Image]) -> Result<(), DriverError> {
        let Self { slots, copy, model, .. } = self;
        let slot = &mut slots[slot];
        let bucket = self.buckets.of(images.len());
        let to = slot.images.array(0, slot.images.bytes(), Type::U8);
        let formats = slot.formats.as_mut();
        for (image, format) in images.iter().zip(formats.as_chunks_mut::<4>().0) {
            *format = (patch_embedding::Format::from(image.format()) as u32).to_le_bytes();
        }
        copy.write(to, 0, &slot.formats.as_ref()[..4 * images.len()])?;
        for (index, image) in images.iter().enumerate() {
            copy.write(to, patch_embedding::image_offset(&model.input, bucket, index), image.bytes())?;
        }
        copy.mark(&slot.copied)
    }

    /// Queues all of a batch: copies, the graph, the way back of the logits.
    fn start(&mut self, slot: usize, images: &[Image]) -> Result<(), DriverError> {
        self.copy_images(slot, images)?;
        let bucket = self.buckets.of(images.len());
        let graph = self.model.plans.iter().position(|plan| plan.images == bucket).unwrap_or(0);
        self.compute.after(&self.slots[slot].copied)?;
        self.slots[slot].graphs[graph].launch()?;
        self.slots[slot].collect(&self.compute, &self.model, images.len())
    }

    /// Refuses a batch that cannot run.
    fn check(&self, batch: &Batch) -> Result<(), RunError> {
        let most = self.model.max_batch();
        if batch.is_empty() || batch.len() > most {
            return Err(RunError::Input(format!("a batch of {} images; it must have 1 to {most}", batch.len())));
        }
        let (height, width) = (self.model.input.height, self.model.input.width);
        for image in batch.images() {
            let (found, needed) = (image.bytes().len(), height * width * 3 * image.format().bytes());
            if found != needed {
                let format = image.format();
                return Err(RunError::Input(format!(
                    "an image of {found} bytes; {format:?} pixels of {height}×{width}×3 take {needed}"
                )));
            }
        }
        Ok(())
    }
}

impl Slot {
    fn new(
        model: &Arc<Model>,
        compute: &Stream,
        arena: &Allocation,
        tickets: &Allocation,
    ) -> Result<Self, DriverError> {
        let gpu: &Arc<Gpu> = &model.gpu;
        let images = Allocation::new(gpu, model.slot_bytes())?;
        // zeros, for what pads a batch to its bucket is computed too; waited for, or they could come after the first image
        compute.fill(images.array(0, images.bytes(), Type::U8), 0)?;
        compute.wait()?;
        let logits = Allocation::new(gpu, model.logits_bytes())?;
        let memory = memory(model, arena, tickets, &images, &logits);
        let graph = |plan: &Plan| {
            let graph = compute.record(&plan.launches(&gpu.card, &memory))?;
            graph.upload()?;
            Ok(graph)
        };
        let graphs = model.plans.iter().map(graph).collect::<Result<_, DriverError>>()?;
        Ok(Self {
            graphs,
            images,
            logits,
            formats: Pinned::new(gpu, 4 * model.max_batch())?,
            results: Pinned::new(gpu, model.logits_bytes())?,
            copied: Event::new(gpu)?,
            done: Event::new(gpu)?,
            running: None,
        })
    }

    /// Queues the way back of the logits of so many images.
    fn collect(&mut self, compute: &Stream, model: &Model, images: usize) -> Result<(), DriverError> {
        let numbers = images * model.classes;
        let logits = self.logits.array(0, numbers, Type::F32);
        compute.read(logits, &mut self.results.as_mut()[..4 * numbers])?;
        compute.mark(&self.done)
    }
}

fn memory(model: &Model, arena: &Allocation, tickets: &Allocation, images: &Allocation, logits: &Allocation) -> Memory {
    Memory {
        images: images.array(0, images.bytes(), Type::U8),
        arena: arena.array(0, arena.bytes(), Type::U8),
        logits: logits.array(0, model.max_batch() * model.classes, Type::F32),
        tickets: tickets.array(0, tickets.bytes(), Type::U8),
    }
}

impl Executable for CudaExecutable {
    fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    fn in_flight(&self) -> usize {
        IN_FLIGHT
    }

    fn classes(&self) -> usize {
        self.model.classes
    }

    fn leases(&self) -> &Arc<LeasePool> {
        &self.leases
    }

    fn self_check(&mut self, program: &Program, weights: &dyn WeightSource) -> Result<(), LoadError> {
        super::self_check::check(self, program, weights)
    }

    /// A copy to the device and the wait for it: a GPU that has gone fails one of them.
    fn probe(&mut self) -> Result<(), RunError> {
        let Self { slots, copy, .. } = self;
        let Some(slot) = slots.iter().find(|slot| slot.running.is_none()) else { return Ok(()) };
        let to = slot.images.array(0, slot.images.bytes(), Type::U8);
        let answered = copy.write(to, 0, &slot.formats.as_ref()[..4]).and_then(|()| copy.wait());
        answered.map_err(|error| self.failed(error))
    }

    fn launched(&self, images: usize) -> Vec<Launched> {
        let Some(plan) = self.model.plans.iter().find(|plan| plan.images == images) else { return Vec::new() };
        let (card, memory) = (&self.model.gpu.card, self.memory(0));
        let launched = |(index, step): (usize, &Step)| {
            let launches = step.operation.launches(card, images, &plan.operands(index, &memory));
            Launched { names: step.names.clone(), kernels: launches.len() }
        };
        plan.steps.iter().enumerate().map(launched).collect()
    }

    fn launch(&mut self, batch: Batch) -> Result<BatchId, RunError> {
        let Some(slot) = self.slots.iter().position(|slot| slot.running.is_none()) else {
            return Err(RunError::Input(format!("{IN_FLIGHT} batches are in flight already; no more may be")));
        };
        self.check(&batch)?;
        if let Err(error) = self.start(slot, batch.images()) {
            // what was queued of it must be over before its images go; if the device is lost, nothing is under way any more
            let _ = self.copy.wait().and_then(|()| self.compute.wait());
            return Err(self.failed(error));
        }
        self.batches += 1;
        let id = BatchId(self.batches);
        self.slots[slot].running = Some(Running { id, batch });
        Ok(id)
    }

    fn finish(&mut self, id: BatchId, logits: &mut [f32]) -> Result<(), RunError> {
        let classes = self.model.classes;
        let running = |slot: &&mut Slot| slot.running.as_ref().is_some_and(|running| running.id == id);
        let Some(slot) = self.slots.iter_mut().find(running) else {
            return Err(RunError::Input(format!("batch {} is not in flight", id.0)));
        };
        let images = slot.running.as_ref().map_or(0, |running| running.batch.len());
        if logits.len() != images * classes {
            let why = format!("room for {} logits; the batch has {}", logits.len(), images * classes);
            return Err(RunError::Input(why));
        }
        let done = slot.done.wait();
        slot.running = None;
        match done {
            Ok(()) => {
                let numbers = slot.results.as_ref().as_chunks::<4>().0;
                logits.iter_mut().zip(numbers).for_each(|(logit, bytes)| *logit = f32::from_le_bytes(*bytes));
                Ok(())
            }
            Err(error) => Err(self.failed(error)),
        }
    }
}

impl CudaExecutable {
    /// What an error of the driver means for a batch.
    fn failed(&self, error: DriverError) -> RunError {
        match self.model.gpu.lost() {
            Some(lost) => RunError::DeviceLost(lost.to_string()),
            None => RunError::Batch(error.to_string()),
        }
    }
}

impl Drop for CudaExecutable {
    fn drop(&mut self) {
        // nothing may be under way when graphs, slots and images go
        let _ = self.copy.wait();
        let _ = self.compute.wait();
    }
}
