//! What an executable promises, whatever the network: slots, batches, errors.

use convnext_server::engine::cpu::{Cpu, Instructions};
use convnext_server::engine::{Buckets, Engine, Input, LoadError, Options, RunError};
use convnext_server::model::convnext::Spec;
use convnext_server::program::{Program, RandomWeights, WeightError, WeightSource};

use crate::{
    compile, engines, launch, pixels, program, relative_error, small, small_spec, small_swin, stage_all, swin_program,
};

#[test]
fn a_batch_of_n_equals_n_singles_bit_for_bit() {
    let (program, weights) = small();
    for engine in engines() {
        let mut executable = compile(engine.as_ref(), &program, &weights, 5);
        stage_all(executable.as_mut(), &program, 5);
        let singles: Vec<f32> = (0..5).flat_map(|slot| launch(executable.as_mut(), &[slot])).collect();
        let batch = launch(executable.as_mut(), &[0, 1, 2, 3, 4]);
        assert_eq!(bits(&batch), bits(&singles), "{}", engine.device());
    }
}

#[test]
fn neither_the_batch_nor_the_threads_move_a_bit_of_the_cpus_logits() {
    let v2 = Spec { grn: true, layer_scale: false, ..small_spec() };
    let convnexts = [small_spec(), v2].map(|spec| program(&spec, 44, 40));
    // maps of 11 by 10 places: of windows some are padded, shifted, and at the last stage few
    let swins = [swin_program(&small_swin(), 44, 40), swin_program(&small_swin(), 12, 24)];
    let programs: Vec<Program> = convnexts.into_iter().chain(swins).collect();
    let sets = Instructions::available();
    for (program, set) in programs.iter().flat_map(|program| sets.iter().map(move |set| (program, *set))) {
        let weights = RandomWeights::new(program, 1);
        let mut seen: Option<Vec<Vec<u32>>> = None;
        for threads in [1, 2, 4] {
            let options = Options { max_batch: 9, threads, profile: false };
            let mut executable = Cpu::new(set).compile(program, &weights, &options).unwrap();
            stage_all(executable.as_mut(), program, 9);
            let singles: Vec<Vec<u32>> = (0..9).map(|slot| bits(&launch(executable.as_mut(), &[slot]))).collect();
            let what = format!("{set}, {threads} threads");
            assert_eq!(seen.get_or_insert_with(|| singles.clone()), &singles, "{what}");
            for batch in [2, 3, 5, 9] {
                let slots: Vec<usize> = (0..batch).collect();
                assert_eq!(bits(&launch(executable.as_mut(), &slots)), singles[..batch].concat(), "{what}, {batch}");
            }
        }
    }
}

#[test]
fn logits_come_in_the_order_of_the_launch_and_slots_may_repeat() {
    let (program, weights) = small();
    for engine in engines() {
        let mut executable = compile(engine.as_ref(), &program, &weights, 4);
        stage_all(executable.as_mut(), &program, 4);
        let singles: Vec<Vec<f32>> = (0..4).map(|slot| launch(executable.as_mut(), &[slot])).collect();
        let shuffled = launch(executable.as_mut(), &[3, 0, 3, 2]);
        let expected = [&singles[3], &singles[0], &singles[3], &singles[2]].map(Vec::as_slice).concat();
        assert_eq!(shuffled, expected, "{}", engine.device());
        assert_ne!(singles[0], singles[3], "the images differ");
    }
}

#[test]
fn staging_a_slot_again_replaces_its_image() {
    let (program, weights) = small();
    for engine in engines() {
        let mut executable = compile(engine.as_ref(), &program, &weights, 2);
        executable.stage(0, Input::Rgb8(&pixels(&program, 5))).unwrap();
        executable.stage(1, Input::Rgb8(&pixels(&program, 6))).unwrap();
        let before = launch(executable.as_mut(), &[0, 1]);
        executable.stage(0, Input::Rgb8(&pixels(&program, 6))).unwrap();
        let after = launch(executable.as_mut(), &[0, 1]);
        assert_eq!(after[..program.classes()], before[program.classes()..], "{}: slot 0", engine.device());
        assert_eq!(after[program.classes()..], before[program.classes()..], "{}: slot 1", engine.device());
    }
}

#[test]
fn bytes_are_normalised_as_their_formula_says() {
    let (program, weights) = small();
    let rgb = pixels(&program, 3);
    let places = rgb.len() / 3;
    let normalised: Vec<f32> = (0..rgb.len())
        .map(|i| {
            let (channel, place) = (i / places, i % places);
            let (mean, std) = (program.input.mean[channel], program.input.std[channel]);
            (f32::from(rgb[place * 3 + channel]) / 255.0 - mean) / std
        })
        .collect();
    for engine in engines() {
        let mut executable = compile(engine.as_ref(), &program, &weights, 2);
        executable.stage(0, Input::Rgb8(&rgb)).unwrap();
        executable.stage(1, Input::F32(&normalised)).unwrap();
        let (bytes, tensor) = (launch(executable.as_mut(), &[0]), launch(executable.as_mut(), &[1]));
        let error = relative_error(&bytes, &tensor);
        assert!(error <= 1e-5, "{}: {error:.1e}", engine.device());
    }
}

#[test]
fn what_does_not_fit_is_an_error_of_the_input_and_leaves_the_executable_as_it_was() {
    let (program, weights) = small();
    for engine in engines() {
        let device = engine.device();
        let mut executable = compile(engine.as_ref(), &program, &weights, 3);
        assert!(executable.buckets().max() >= 3, "{device}");
        if let Buckets::Any(max) = executable.buckets() {
            assert_eq!(max, 3, "{device}");
        }
        executable.stage(0, Input::Rgb8(&pixels(&program, 0))).unwrap();
        let before = launch(executable.as_mut(), &[0]);

        let image = pixels(&program, 1);
        let tensor = vec![0.0; image.len() + 1];
        let refused = |what: &str, result: Result<(), RunError>| {
            assert!(matches!(result, Err(RunError::Input(_))), "{device}: {what} gave {result:?}");
        };
        refused("an image that is too short", executable.stage(0, Input::Rgb8(&image[1..])));
        refused("no image", executable.stage(0, Input::Rgb8(&[])));
        refused("a tensor that is too long", executable.stage(0, Input::F32(&tensor)));
        refused("a slot too many", executable.stage(3, Input::Rgb8(&image)));
        refused("a slot far away", executable.stage(usize::MAX, Input::Rgb8(&image)));
        refused("an empty batch", executable.launch(&[]));
        refused("a batch too large", executable.launch(&[0, 0, 0, 0]));
        refused("a slot that does not exist", executable.launch(&[0, 3]));
        refused("a slot that holds no image", executable.launch(&[0, 1]));
        refused("a finish without a launch", executable.finish().map(|_| ()));

        assert_eq!(launch(executable.as_mut(), &[0]), before, "{device}");
        refused("a second finish", executable.finish().map(|_| ()));
    }
}

#[test]
fn a_missing_weight_is_an_error_of_loading_that_names_it() {
    /// Random weights without one of them.
    struct Without(RandomWeights, &'static str);
    impl WeightSource for Without {
        fn read(&self, name: &str, into: &mut [f32]) -> Result<(), WeightError> {
            if name == self.1 {
                return Err(WeightError::Missing { source_name: "the test".into(), tensor: name.into() });
            }
            self.0.read(name, into)
        }
    }
    let (program, weights) = small();
    let options = Options { max_batch: 1, threads: 1, profile: false };
    // each by another way: a packed matrix, a norm that folds, one that does not, a vector of the epilogue, the last
    for name in [
        "stages.0.blocks.0.fc1.weight",
        "stages.1.blocks.1.norm.shift",
        "stem.norm.scale",
        "stages.0.blocks.0.gamma.scale",
        "head.bias",
    ] {
        for engine in engines() {
            let Err(error) = engine.compile(&program, &Without(weights.clone(), name), &options) else {
                panic!("{} loads without {name}", engine.device());
            };
            assert!(
                matches!(&error, LoadError::Weights(WeightError::Missing { tensor, .. }) if tensor == name),
                "{error}"
            );
        }
    }
}

#[test]
fn a_program_that_does_not_hold_together_and_a_batch_of_nothing_do_not_load() {
    let (whole, weights) = small();
    let mut broken: Program = whole.clone();
    broken.ops.remove(3);
    for engine in engines() {
        let options = Options { max_batch: 1, threads: 1, profile: false };
        let result = engine.compile(&broken, &weights, &options);
        assert!(matches!(result.err(), Some(LoadError::Program { .. })), "{}", engine.device());
        let result = engine.compile(&whole, &weights, &Options { max_batch: 0, ..options });
        assert!(matches!(result.err(), Some(LoadError::Device { .. })), "{}", engine.device());
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}
