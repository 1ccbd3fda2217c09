//! A stream: copies, launches, events and graphs in order. Not here: which of them a batch needs (`executable`).

use std::sync::Arc;

use cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};
use cudarc::driver::{CudaEvent, CudaGraph, CudaStream, result};

use super::error::{Doing as _, DriverError};
use super::gpu::Gpu;
use crate::engine::cuda::array::Array;
use crate::engine::cuda::launch::Launch;

/// A stream of a GPU. It stays on the thread that made it, as its graphs must.
pub(crate) struct Stream {
    gpu: Arc<Gpu>,
    stream: Arc<CudaStream>,
}

/// A point in a stream.
pub(crate) struct Event {
    gpu: Arc<Gpu>,
    event: CudaEvent,
}

/// Launches that are given to the GPU as one.
pub(crate) struct Graph {
    gpu: Arc<Gpu>,
    graph: CudaGraph,
}

impl Stream {
    pub(crate) fn new(gpu: &Arc<Gpu>) -> Result<Self, DriverError> {
        gpu.bind()?;
        let stream = gpu.note(gpu.context.new_stream().doing(|| "making a stream".to_owned()))?;
        Ok(Self { gpu: Arc::clone(gpu), stream })
    }

    /// Queues a launch.
    pub(crate) fn launch(&self, launch: &Launch) -> Result<(), DriverError> {
        self.gpu.launch(&self.stream, launch)
    }

    /// Records launches as a graph; none of them runs.
    pub(crate) fn record(&self, launches: &[Launch]) -> Result<Graph, DriverError> {
        // looked up before: a module must not be loaded while a stream records
        for launch in launches {
            self.gpu.function(launch)?;
        }
        // other threads of this process may allocate meanwhile, for another model
        let begun = self.stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
        self.gpu.note(begun.doing(|| "recording a graph".to_owned()))?;
        let launched: Result<(), DriverError> = launches.iter().try_for_each(|launch| self.launch(launch));
        let ended = self.stream.end_capture(CUgraphInstantiate_flags(0)).doing(|| "making a graph".to_owned());
        launched?;
        let graph = self.gpu.note(ended)?;
        let graph = graph.ok_or_else(|| DriverError {
            code: cudarc::driver::sys::CUresult::CUDA_ERROR_INVALID_VALUE,
            doing: "making a graph of no launches".to_owned(),
        })?;
        Ok(Graph { gpu: Arc::clone(&self.gpu), graph })
    }

    /// Queues a copy to the device, to this byte of an array.
    ///
    /// The bytes are read now if they are in plain memory, and while the stream runs if they are pinned. The caller keeps both as they are until it
    /// has waited for the stream.
    pub(crate) fn write(&self, to: Array, offset: usize, bytes: &[u8]) -> Result<(), DriverError> {
        debug_assert!(offset + bytes.len() <= to.bytes(), "{} bytes at {offset} of {to:?}", bytes.len());
        self.gpu.bind()?;
        // SAFETY: the copy lies within the array, whose memory the caller owns until it has waited for this stream.
        let copied = unsafe { result::memcpy_htod_async(to.address + offset as u64, bytes, self.stream.cu_stream()) };
        self.gpu.note(copied.doing(|| format!("copying {} bytes to the device", bytes.len())))
    }

    /// Queues a copy from the device into pinned memory, which the caller does not look at before it has waited for the stream.
    pub(crate) fn read(&self, from: Array, into: &mut [u8]) -> Result<(), DriverError> {
        debug_assert!(into.len() <= from.bytes(), "{} bytes of {from:?}", into.len());
        self.gpu.bind()?;
        // SAFETY: the copy lies within the array; both live until the caller has waited for this stream.
        let copied = unsafe { result::memcpy_dtoh_async(into, from.address, self.stream.cu_stream()) };
        self.gpu.note(copied.doing(|| format!("copying {} bytes from the device", into.len())))
    }

    /// Queues that every byte of an array becomes this one.
    pub(crate) fn fill(&self, array: Array, byte: u8) -> Result<(), DriverError> {
        self.gpu.bind()?;
        // SAFETY: as many bytes as the array has, whose memory the caller owns until it has waited for this stream.
        let filled = unsafe { result::memset_d8_async(array.address, byte, array.bytes(), self.stream.cu_stream()) };
        self.gpu.note(filled.doing(|| format!("filling {} bytes", array.bytes())))
    }

    /// Notes how far the stream has come.
    pub(crate) fn mark(&self, event: &Event) -> Result<(), DriverError> {
        self.gpu.bind()?;
        self.gpu.note(event.event.record(&self.stream).doing(|| "marking a stream".to_owned()))
    }

    /// Lets what is queued from now on wait for an event.
    pub(crate) fn after(&self, event: &Event) -> Result<(), DriverError> {
        self.gpu.bind()?;
        self.gpu.note(self.stream.wait(&event.event).doing(|| "ordering two streams".to_owned()))
    }

    /// Waits until all that was queued is done.
    pub(crate) fn wait(&self) -> Result<(), DriverError> {
        self.gpu.bind()?;
        self.gpu.note(self.stream.synchronize().doing(|| "waiting for a stream".to_owned()))
    }
}

impl Event {
    pub(crate) fn new(gpu: &Arc<Gpu>) -> Result<Self, DriverError> {
        gpu.bind()?;
        let event = gpu.note(gpu.context.new_event(None).doing(|| "making an event".to_owned()))?;
        Ok(Self { gpu: Arc::clone(gpu), event })
    }

    /// Waits until a stream has come to its mark.
    pub(crate) fn wait(&self) -> Result<(), DriverError> {
        self.gpu.bind()?;
        self.gpu.note(self.event.synchronize().doing(|| "waiting for a batch".to_owned()))
    }
}

impl Graph {
    /// Queues its launches on the stream that recorded them.
    pub(crate) fn launch(&self) -> Result<(), DriverError> {
        self.gpu.bind()?;
        self.gpu.note(self.graph.launch().doing(|| "launching a graph".to_owned()))
    }

    /// Puts it on the device, so that the first launch is as fast as the others.
    pub(crate) fn upload(&self) -> Result<(), DriverError> {
        self.gpu.bind()?;
        self.gpu.note(self.graph.upload().doing(|| "uploading a graph".to_owned()))
    }
}
