//! What an executable promises for every network: batches, buckets, image memory, errors.

use std::thread;

use convnext_server::engine::cpu::{Cpu, Instructions};
use convnext_server::engine::{
    Batch, BatchId, Buckets, DeviceId, Engine, Image, LoadError, Options, PixelFormat, Precision, RunError,
};
use convnext_server::model::convnext::Spec;
use convnext_server::program::{Program, RandomWeights, WeightError, WeightSource};
use half::f16;

use crate::{
    batch, engines_and_the_bucketed, images, options, pixels, program, relative_error, run, small, small_spec,
    small_swin, swin_program, tensor,
};

/// The batch sizes up to five that run as the bucket of `images`.
fn same_bucket(buckets: &Buckets, images: usize) -> Vec<usize> {
    match buckets {
        // all sizes are one bucket: no bit may differ
        Buckets::Any(_) => (1..=5).collect(),
        fixed @ Buckets::Fixed(_) => (1..=5).filter(|size| fixed.of(*size) == fixed.of(images)).collect(),
    }
}

#[test]
fn within_a_bucket_an_image_has_the_same_bits_in_every_batch_and_across_buckets_nearly() {
    let (program, weights) = small();
    for subject in engines_and_the_bucketed() {
        let mut executable = subject.executable(&program, &weights, 5);
        let (images, classes, name) = (images(&program, 5), program.classes(), subject.name());
        let batches: Vec<Vec<f32>> = (1..=5).map(|n| run(executable.as_mut(), &images[..n])).collect();
        for n in 1..=5 {
            for m in 1..=n {
                let (found, expected) = (&batches[n - 1][..m * classes], &batches[m - 1][..]);
                if same_bucket(executable.buckets(), n).contains(&m) {
                    assert_eq!(bits(found), bits(expected), "{name}: {n} and {m} images");
                }
                let error = relative_error(found, expected);
                assert!(error <= subject.across_buckets, "{name}: {n} and {m} images: {error:.1e}");
            }
        }
        // nor does the index in the batch matter
        let single = run(executable.as_mut(), &images[4..]);
        let error = relative_error(&batches[4][4 * classes..], &single);
        assert!(error <= subject.across_buckets, "{name}: {error:.1e}");
    }
}

#[test]
fn neither_the_batch_nor_the_threads_move_a_bit_of_the_cpus_logits() {
    let v2 = Spec { grn: true, layer_scale: false, ..small_spec() };
    let convnexts = [small_spec(), v2].map(|spec| program(&spec, 44, 40));
    // maps of 11 by 10 pixels: some windows are padded, some are shifted, and the last stage has few
    let swins = [swin_program(&small_swin(), 44, 40), swin_program(&small_swin(), 12, 24)];
    let programs: Vec<Program> = convnexts.into_iter().chain(swins).collect();
    let sets = Instructions::available();
    let subjects = programs.iter().flat_map(|program| sets.iter().map(move |set| (program, *set)));
    let precisions = [Precision::F32, Precision::Bf16, Precision::Int8];
    let cases = subjects.flat_map(|subject| precisions.map(|precision| (subject, precision)));
    // plain vectors take bf16 and int8 by the same code as AVX2's, and a hundred times as long in builds for tests
    for ((program, set), precision) in
        cases.filter(|((_, set), precision)| *precision == Precision::F32 || set.name() != "plain")
    {
        let (weights, images) = (RandomWeights::new(program, 1), images(program, 9));
        let mut seen: Option<Vec<Vec<u32>>> = None;
        for threads in [1, 2, 4] {
            let options = Options { threads, precision, ..options(9) };
            let loaded = Cpu::new(set).load(DeviceId(0), program, &weights, &options).unwrap();
            let mut executable = loaded.instantiate().unwrap();
            let mut logits = |images: &[Vec<u8>]| bits(&run(executable.as_mut(), images));
            let singles: Vec<Vec<u32>> = images.iter().map(|image| logits(std::slice::from_ref(image))).collect();
            let what = format!("{set}, {precision}, {threads} threads");
            assert_eq!(seen.get_or_insert_with(|| singles.clone()), &singles, "{what}");
            for batch in [2, 3, 5, 9] {
                assert_eq!(logits(&images[..batch]), singles[..batch].concat(), "{what}, {batch}");
            }
        }
    }
}

#[test]
fn logits_come_in_the_order_of_the_batch_and_images_may_repeat() {
    let (program, weights) = small();
    for subject in engines_and_the_bucketed() {
        let mut executable = subject.executable(&program, &weights, 4);
        let images = images(&program, 4);
        let all = run(executable.as_mut(), &images);
        let rows: Vec<&[f32]> = all.chunks(program.classes()).collect();
        let order = [3, 0, 3, 2];
        let shuffled = run(executable.as_mut(), &order.map(|index| images[index].clone()));
        assert_eq!(shuffled, order.map(|index| rows[index]).concat(), "{}", subject.name());
        assert_ne!(rows[0], rows[3], "the images differ");
    }
}

#[test]
fn as_many_batches_as_are_promised_may_be_in_flight_and_end_in_any_order() {
    let (program, weights) = small();
    for subject in engines_and_the_bucketed() {
        let name = subject.name();
        let mut executable = subject.executable(&program, &weights, 2);
        let in_flight = executable.in_flight();
        assert!(in_flight >= 1, "{name}");
        let images = images(&program, in_flight + 1);
        let expected: Vec<Vec<f32>> =
            images.iter().map(|image| run(executable.as_mut(), std::slice::from_ref(image))).collect();
        for backwards in [false, true] {
            let launch = |image: &Vec<u8>| executable.launch(batch(std::slice::from_ref(image)));
            let mut ids: Vec<Result<BatchId, RunError>> = images.iter().map(launch).collect();
            let one_too_many = ids.pop().unwrap();
            assert!(matches!(one_too_many, Err(RunError::Input(_))), "{name}: {one_too_many:?}");
            let mut order: Vec<(usize, BatchId)> = ids.into_iter().map(Result::unwrap).enumerate().collect();
            if backwards {
                order.reverse();
            }
            for (image, id) in order {
                let mut logits = vec![f32::NAN; program.classes()];
                executable.finish(id, &mut logits).unwrap();
                assert_eq!(logits, expected[image], "{name}, backwards: {backwards}");
            }
        }
    }
}

#[test]
fn leased_memory_is_bounded_comes_back_and_gives_the_same_bits_as_any_other() {
    let (program, weights) = small();
    for subject in engines_and_the_bucketed() {
        let name = subject.name();
        let mut executable = subject.executable(&program, &weights, 2);
        let (first, second) = (pixels(&program, 5), pixels(&program, 6));
        let expected = [&first, &second].map(|image| run(executable.as_mut(), std::slice::from_ref(image)));
        let pool = executable.leases().clone();
        assert_eq!(pool.piece(), first.len(), "{name}");
        // the same memory again and again: the bytes at launch count
        for (image, expected) in [(&first, &expected[0]), (&second, &expected[1]), (&first, &expected[0])] {
            let mut lease = pool.lease().unwrap();
            lease.as_mut().copy_from_slice(image);
            let image = Image::new(PixelFormat::Rgb8, lease);
            assert_eq!(&executable.run(Batch::new(vec![image])).unwrap(), expected, "{name}");
            assert_eq!(pool.lent(), 0, "{name}: a finished batch gives its memory back");
        }
        let all: Vec<_> = std::iter::from_fn(|| pool.lease()).take(1000).collect();
        assert!((1..1000).contains(&all.len()), "{name}: {} leases", all.len());
        assert_eq!(run(executable.as_mut(), &[second]), expected[1], "{name}: without a lease");
    }
}

#[test]
fn a_batch_in_flight_holds_its_memory() {
    let (program, weights) = small();
    for subject in engines_and_the_bucketed() {
        let mut executable = subject.executable(&program, &weights, 1);
        let pool = executable.leases().clone();
        let expected = run(executable.as_mut(), &[pixels(&program, 1)]);
        let mut lease = pool.lease().unwrap();
        lease.as_mut().copy_from_slice(&pixels(&program, 1));
        let id = executable.launch(Batch::new(vec![Image::new(PixelFormat::Rgb8, lease)])).unwrap();
        // whoever leases now must not get the memory that the batch may still read
        let mut others: Vec<_> = std::iter::from_fn(|| pool.lease()).collect();
        others.iter_mut().for_each(|other| other.as_mut().fill(255));
        let mut logits = vec![0.0; program.classes()];
        executable.finish(id, &mut logits).unwrap();
        assert_eq!(logits, expected, "{}", subject.name());
    }
}

#[test]
fn bytes_are_normalised_as_their_formula_says_and_tensors_are_taken_as_they_are() {
    let (program, weights) = small();
    let rgb = pixels(&program, 3);
    let plane = rgb.len() / 3;
    let normalised: Vec<f32> = (0..rgb.len())
        .map(|i| {
            let (channel, pixel) = (i / plane, i % plane);
            let (mean, std) = (program.input.mean[channel], program.input.std[channel]);
            (f32::from(rgb[pixel * 3 + channel]) / 255.0 - mean) / std
        })
        .collect();
    let halves: Vec<f16> = normalised.iter().map(|value| f16::from_f32(*value)).collect();
    let widened: Vec<f32> = halves.iter().map(|value| value.to_f32()).collect();
    let halves: Vec<u8> = halves.iter().flat_map(|value| value.to_le_bytes()).collect();
    for subject in engines_and_the_bucketed() {
        let mut executable = subject.executable(&program, &weights, 2);
        let mut logits = |image: Image| executable.run(Batch::new(vec![image])).unwrap();
        let (bytes, floats) = (logits(Image::new(PixelFormat::Rgb8, rgb.clone())), logits(tensor(&normalised)));
        let error = relative_error(&bytes, &floats);
        assert!(error <= 1e-5, "{}: {error:.1e}", subject.name());
        let half = logits(Image::new(PixelFormat::F16, halves.clone()));
        assert_eq!(half, logits(tensor(&widened)), "{}", subject.name());
        assert_ne!(half, floats, "rounding to f16 shows");
    }
}

#[test]
fn what_does_not_fit_is_an_error_of_the_input_and_leaves_the_executable_as_it_was() {
    let (program, weights) = small();
    for subject in engines_and_the_bucketed() {
        let name = subject.name();
        let mut executable = subject.executable(&program, &weights, 4);
        assert_eq!(executable.buckets().max(), 4, "{name}");
        let good = [pixels(&program, 0)];
        let before = run(executable.as_mut(), &good);

        let image = pixels(&program, 1);
        let classes = program.classes();
        let refused = |what: &str, result: Result<(), RunError>| {
            assert!(matches!(result, Err(RunError::Input(_))), "{name}: {what} gave {result:?}");
        };
        let mut launch = |images: Vec<Image>| executable.launch(Batch::new(images)).map(|_| ());
        let rgb = |bytes: &[u8]| Image::new(PixelFormat::Rgb8, bytes.to_vec());
        refused("an image that is too short", launch(vec![rgb(&image[1..])]));
        refused("no pixels", launch(vec![rgb(&[])]));
        refused("one bad image of two", launch(vec![rgb(&image), rgb(&image[1..])]));
        refused("a tensor that is too long", launch(vec![tensor(&vec![0.0; image.len() + 1])]));
        refused("pixels that are called a tensor", launch(vec![Image::new(PixelFormat::F16, image.clone())]));
        refused("an empty batch", launch(vec![]));
        refused("a batch too large", launch((0..5).map(|_| rgb(&image)).collect()));
        let mut logits = vec![0.0; classes];
        refused("a finish without a launch", executable.finish(BatchId(7), &mut logits));

        let id = executable.launch(batch(&good)).unwrap();
        refused("room for too many logits", executable.finish(id, &mut vec![0.0; classes + 1]));
        refused("room for too few logits", executable.finish(id, &mut []));
        refused("another batch", executable.finish(BatchId(id.0 + 100), &mut logits));
        executable.finish(id, &mut logits).unwrap();
        assert_eq!(logits, before, "{name}");
        refused("a second finish", executable.finish(id, &mut logits));
        assert_eq!(run(executable.as_mut(), &good), before, "{name}");
    }
}

#[test]
fn executables_of_one_model_share_its_weights_and_run_side_by_side() {
    let (program, weights) = small();
    for subject in engines_and_the_bucketed() {
        let loaded = subject.load(&program, &weights, options(2)).unwrap();
        assert!(loaded.memory().weights > 0, "{}", subject.name());
        let images = images(&program, 2);
        let expected = run(loaded.instantiate().unwrap().as_mut(), &images);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| assert_eq!(run(loaded.instantiate().unwrap().as_mut(), &images), expected));
            }
        });
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
    // each is read in another way: a packed matrix, a norm that folds, one that does not, a vector of the epilogue, the last weight
    for name in [
        "stages.0.blocks.0.fc1.weight",
        "stages.1.blocks.1.norm.shift",
        "stem.norm.scale",
        "stages.0.blocks.0.gamma.scale",
        "head.bias",
    ] {
        for subject in engines_and_the_bucketed() {
            let Err(error) = subject.load(&program, &Without(weights.clone(), name), options(1)) else {
                panic!("{} loads without {name}", subject.name());
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
    for subject in engines_and_the_bucketed() {
        let result = subject.load(&broken, &weights, options(1));
        assert!(matches!(result.err(), Some(LoadError::Program { .. })), "{}", subject.name());
        let result = subject.load(&whole, &weights, options(0));
        assert!(matches!(result.err(), Some(LoadError::Device { .. })), "{}", subject.name());
    }
}

#[test]
fn an_engine_says_what_it_cannot_run_and_does_not_load_it() {
    let (program, weights) = small();
    for subject in engines_and_the_bucketed() {
        for precision in Precision::ALL {
            let supported = subject.precisions.iter().any(|(known, _)| *known == precision);
            let unsupported = subject.engine.unsupported(&program, precision);
            assert_eq!(unsupported.is_empty(), supported, "{}: {precision}: {unsupported:?}", subject.name());
            match subject.load(&program, &weights, Options { precision, ..options(1) }).err() {
                None => assert!(supported, "{}: {precision}", subject.name()),
                Some(LoadError::Unsupported { operations, .. }) => assert_eq!(operations, unsupported),
                Some(other) => panic!("{}: {precision}: {other}", subject.name()),
            }
        }
    }
}

#[test]
fn a_precision_is_as_near_to_the_reference_as_it_promises() {
    let (program, weights) = small();
    let images = images(&program, 3);
    let reference = crate::Subject::new(convnext_server::engine::reference::Reference::default(), 0.0);
    let expected = run(reference.executable(&program, &weights, 3).as_mut(), &images);
    for subject in engines_and_the_bucketed() {
        for (precision, bound) in &subject.precisions {
            let loaded = subject.load(&program, &weights, Options { precision: *precision, ..options(3) }).unwrap();
            let error = relative_error(&run(loaded.instantiate().unwrap().as_mut(), &images), &expected);
            assert!(error <= *bound, "{} in {precision}: {error:.1e}", subject.name());
        }
    }
}

#[test]
fn too_little_memory_is_told_from_all_else_with_what_is_needed_and_free() {
    // small weights, and a map of 2^24 pixels with 2^16 channels: 4 TB
    let spec = Spec { depths: vec![0], widths: vec![1 << 16], kernels: vec![7], patch: 1, ..small_spec() };
    let program = program(&spec, 4096, 4096);
    let weights = RandomWeights::new(&program, 1);
    let loaded = Cpu::default().load(DeviceId(0), &program, &weights, &options(1)).unwrap();
    match loaded.instantiate().err() {
        Some(LoadError::OutOfMemory { device, needed, free: Some(free), .. }) => {
            assert_eq!(device, "cpu");
            assert!(needed > free && free > 0, "{needed} bytes are needed, {free} are free");
        }
        other => panic!("{other:?}"),
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}
