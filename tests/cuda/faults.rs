//! What the engine says of faults: of a kernel, of a device that goes, of memory that is not there.

use std::sync::Arc;

use convnext_server::checkpoint;
use convnext_server::engine::cuda::{Cuda, Gpus};
use convnext_server::engine::{
    Batch, DeviceId, Engine as _, Executable, Image, LoadError, Loaded, Options, PixelFormat, Precision, RunError,
};

use crate::emulated;

const DEMO: &str = "convnext_atto";

fn load(engine: &Cuda, max_batch: usize) -> Result<Arc<dyn Loaded>, LoadError> {
    let model = checkpoint::demo(DEMO).unwrap();
    let options = Options { precision: Precision::F16, max_batch, threads: 1, profile: false };
    engine.load(DeviceId(0), &model.program, &*model.weights, &options)
}

fn grey() -> Batch {
    Batch::new(vec![Image::new(PixelFormat::Rgb8, vec![128; 64 * 64 * 3])])
}

/// Runs batches until one fails.
fn first_failure(executable: &mut dyn Executable) -> RunError {
    for _ in 0..1000 {
        if let Err(error) = executable.run(grey()) {
            return error;
        }
    }
    panic!("nothing failed");
}

#[test]
fn after_a_kernel_has_faulted_nothing_is_ever_answered_from_that_gpu() {
    let test = "faults::after_a_kernel_has_faulted_nothing_is_ever_answered_from_that_gpu";
    emulated::on_card_with_faults(test, 80, &[("CUDA_EMULATOR_FAULT", "kernel:150")], || {
        let engine = Cuda::new(Gpus::First).unwrap();
        let (first, second) = (load(&engine, 1).unwrap(), load(&engine, 1).unwrap());
        let (mut first, mut second) = (first.instantiate().unwrap(), second.instantiate().unwrap());
        assert!(second.run(grey()).is_ok());
        let error = first_failure(first.as_mut());
        assert!(matches!(&error, RunError::DeviceLost(why) if why.contains("700")), "{error}");
        // the driver may well take further calls; the engine does not
        for executable in [&mut first, &mut second] {
            assert!(matches!(executable.run(grey()), Err(RunError::DeviceLost(_))));
            assert!(matches!(executable.probe(), Err(RunError::DeviceLost(_))));
        }
        assert!(matches!(load(&engine, 1), Err(LoadError::Device { why, .. }) if why.contains("700")));
    });
}

/// No memory at this allocation: what is told, and what is left.
fn out_of_memory(test: &str, at: usize) {
    let fault = format!("oom:{at}");
    emulated::on_card_with_faults(test, 80, &[("CUDA_EMULATOR_FAULT", &fault)], || {
        let engine = Cuda::new(Gpus::First).unwrap();
        let used = engine.memory_used(DeviceId(0));
        let failed = load(&engine, 4).and_then(|loaded| loaded.instantiate());
        match failed.err() {
            Some(LoadError::OutOfMemory { device, needed, free: Some(free), .. }) => {
                assert_eq!(device, "cuda:0");
                assert!(needed > 100_000 && free > 0, "{needed} needed, {free} free");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(engine.memory_used(DeviceId(0)), used, "what was allocated before is given back");
        // the next attempt finds memory
        let mut executable = load(&engine, 4).unwrap().instantiate().unwrap();
        assert!(executable.run(grey()).is_ok());
    });
}

#[test]
fn no_memory_for_weights_is_told_with_what_is_needed_and_free() {
    out_of_memory("faults::no_memory_for_weights_is_told_with_what_is_needed_and_free", 1);
}

#[test]
fn no_memory_for_activations_is_told_and_the_weights_are_given_back() {
    out_of_memory("faults::no_memory_for_activations_is_told_and_the_weights_are_given_back", 2);
}

#[test]
fn no_memory_for_logits_is_told_and_all_else_is_given_back() {
    out_of_memory("faults::no_memory_for_logits_is_told_and_all_else_is_given_back", 4);
}

#[test]
fn a_model_that_goes_leaves_no_byte() {
    emulated::on_card("faults::a_model_that_goes_leaves_no_byte", 80, &[], || {
        let engine = Cuda::new(Gpus::First).unwrap();
        // the first loads the kernels, which stay
        drop(load(&engine, 4).unwrap().instantiate().unwrap().run(grey()).unwrap());
        let used = engine.memory_used(DeviceId(0));
        for _ in 0..3 {
            let loaded = load(&engine, 4).unwrap();
            let mut executable = loaded.instantiate().unwrap();
            executable.launch(grey()).unwrap();
            let memory = loaded.memory();
            let with = engine.memory_used(DeviceId(0)).unwrap() - used.unwrap();
            assert!(with >= memory.weights + memory.executable, "{with} bytes for {memory:?}");
            // a batch is still in flight
            drop((executable, loaded));
            assert_eq!(engine.memory_used(DeviceId(0)), used);
        }
    });
}
