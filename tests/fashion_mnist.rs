//! The demo models answer as well as their cards say, over the whole way of an image from PNG bytes to logits.
//!
//! Not here: HTTP and the queue, which other suites cover; they hand the same pixels to the same engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "support/emulated.rs"]
#[allow(dead_code, reason = "each suite uses a part")]
mod emulated;
mod provisioned;

use std::fs::File;
use std::io::{Cursor, Read as _};
use std::path::Path;
use std::thread;

use convnext_server::checkpoint;
use convnext_server::engine::cpu::Cpu;
use convnext_server::engine::cuda::{Cuda, Gpus};
use convnext_server::engine::{DeviceId, Engine, Image, Options, PixelFormat, Precision};
use convnext_server::pixels::{self, Pixels, Transform};
use image::{ExtendedColorType, ImageEncoder as _, codecs::png::PngEncoder};
use provisioned::provisioned;
use rayon::prelude::*;

const IMAGES: usize = 10_000;
/// The demo models and how many of the 10,000 their cards say are right, measured with PyTorch and timm's own evaluation transform.
const HITS_OF_THE_CARDS: [(&str, usize); 2] = [("convnext_atto", 9_071), ("swin_atto", 8_742)];
/// 0.1 points.
const TOLERANCE: usize = 10;
const BATCH: usize = 50;
/// Images of every test run that are classified in int8 too; all of them, and in bf16, by the test that is left out of it.
const IN_INT8: usize = 1_000;
/// Least share of images whose best class stays, and the most that may be lost of those that were right.
const KEPT: f64 = 0.98;
const LOST: f64 = 0.003;

#[test]
fn the_demo_models_accuracy_on_fashion_mnist_is_their_cards() {
    let Some(folder) = provisioned("CONVNEXT_TEST_FASHION_MNIST", "/usr/share/datasets/fashion-mnist") else { return };
    let images = idx(&folder.join("t10k-images-idx3-ubyte.gz"), &[IMAGES, 28, 28]);
    let labels = idx(&folder.join("t10k-labels-idx1-ubyte.gz"), &[IMAGES]);
    for (name, card) in HITS_OF_THE_CARDS {
        let logits = logits(&Cpu::default(), Precision::F32, BATCH, name, &images);
        let hits = hits(&logits, &labels);
        assert!(
            hits.abs_diff(card) <= TOLERANCE,
            "{name}: {hits} of {IMAGES}; the card says {card} within {TOLERANCE}"
        );
        let images = &images[..IN_INT8 * 28 * 28];
        keeps_its_answers(Precision::Int8, name, images, (&logits, &labels), IN_INT8 as f64 * LOST);
    }
}

#[test]
#[ignore = "takes a minute, of which every run of the suite does a part; run it with --run-ignored all"]
fn in_bf16_and_int8_the_demo_models_lose_at_most_three_in_a_thousand_and_keep_nearly_all_answers() {
    let Some(folder) = provisioned("CONVNEXT_TEST_FASHION_MNIST", "/usr/share/datasets/fashion-mnist") else { return };
    let images = idx(&folder.join("t10k-images-idx3-ubyte.gz"), &[IMAGES, 28, 28]);
    let labels = idx(&folder.join("t10k-labels-idx1-ubyte.gz"), &[IMAGES]);
    for (name, _) in HITS_OF_THE_CARDS {
        let logits = logits(&Cpu::default(), Precision::F32, BATCH, name, &images);
        for precision in [Precision::Bf16, Precision::Int8] {
            keeps_its_answers(precision, name, &images, (&logits, &labels), IMAGES as f64 * LOST);
        }
    }
}

/// Classifies images in a precision. `f32` are logits of these in f32, and labels, of both perhaps more.
fn keeps_its_answers(precision: Precision, name: &str, images: &[u8], f32: (&[f32], &[u8]), may_lose: f64) {
    let found = logits(&Cpu::default(), precision, BATCH, name, images);
    let (expected, labels) = (&f32.0[..found.len()], &f32.1[..found.len() / 10]);
    let count = labels.len();
    let kept = found.chunks(10).zip(expected.chunks(10)).filter(|(a, b)| top_1(a) == top_1(b)).count();
    let (before, after) = (hits(expected, labels), hits(&found, labels));
    // shown with --nocapture
    eprintln!("{name} in {precision}: {after} of {count} where f32 has {before}, {kept} answers are kept");
    assert!(kept as f64 >= KEPT * count as f64, "{name}: {kept} of {count}");
    assert!(before as f64 - after as f64 <= may_lose, "{name}: {after} of {count} where f32 has {before}");
}

/// Largest relative error of an image's logits in f16 on these networks: four of its rounding units.
const IN_F16: f64 = 4.0 / 2048.0;
const ON_A_GPU: usize = 100;

/// In batches of 8 and one of 4, that is in two buckets.
#[test]
fn a_hundred_images_get_the_cpus_answers_on_an_emulated_gpu() {
    let Some(folder) = provisioned("CONVNEXT_TEST_FASHION_MNIST", "/usr/share/datasets/fashion-mnist") else { return };
    emulated::on_card("a_hundred_images_get_the_cpus_answers_on_an_emulated_gpu", 80, &[], || {
        let images = idx(&folder.join("t10k-images-idx3-ubyte.gz"), &[IMAGES, 28, 28]);
        let images = &images[..ON_A_GPU * 28 * 28];
        for (name, _) in HITS_OF_THE_CARDS {
            let expected = logits(&Cpu::default(), Precision::F32, BATCH, name, images);
            let found = logits(&Cuda::new(Gpus::First).unwrap(), Precision::F16, 8, name, images);
            assert_eq!(found.len(), 10 * ON_A_GPU);
            for (index, (found, expected)) in found.chunks(10).zip(expected.chunks(10)).enumerate() {
                assert_eq!(top_1(found), top_1(expected), "{name}, image {index}: {found:?}, on the CPU {expected:?}");
                let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x * x)).sum::<f64>().sqrt();
                let off = norm(&mut found.iter().zip(expected).map(|(a, b)| a - b));
                let error = off / norm(&mut expected.iter().copied());
                assert!(error <= IN_F16, "{name}, image {index}: relative error {error:.1e}");
            }
        }
    });
}

/// How many images are right.
fn hits(logits: &[f32], labels: &[u8]) -> usize {
    logits.chunks(10).zip(labels).filter(|(logits, label)| top_1(logits) == usize::from(**label)).count()
}

/// Logits of a demo model, from the PNGs of images.
fn logits(engine: &dyn Engine, precision: Precision, max_batch: usize, name: &str, images: &[u8]) -> Vec<f32> {
    let demo = checkpoint::demo(name).unwrap();
    let threads = thread::available_parallelism().unwrap().get();
    let options = Options { precision, max_batch, threads, profile: false };
    let loaded = engine.load(DeviceId(0), &demo.program, &*demo.weights, &options).unwrap();
    let mut executable = loaded.instantiate().unwrap();
    let mut logits = Vec::new();
    for images in images.chunks(max_batch * 28 * 28) {
        let images: Vec<&[u8]> = images.chunks(28 * 28).collect();
        let batch: Vec<Pixels> = images.par_iter().map(|grey| pixels_of_png(&png(grey), &demo.transform)).collect();
        let image = |pixels: &Pixels| Image::new(PixelFormat::Rgb8, pixels.bytes().to_vec());
        logits.extend(executable.run(batch.iter().map(image).collect()).unwrap());
    }
    logits
}

/// A gzipped IDX file of bytes, <http://yann.lecun.com/exdb/mnist/>: `0 0 8 rank`, the sizes as big-endian u32, the bytes.
fn idx(file: &Path, shape: &[usize]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let file = File::open(file).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    let mut header = vec![0, 0, 8, u8::try_from(shape.len()).unwrap()];
    header.extend(shape.iter().flat_map(|&size| u32::try_from(size).unwrap().to_be_bytes()));
    let elements = bytes.split_off(header.len());
    assert_eq!(bytes, header);
    assert_eq!(elements.len(), shape.iter().product::<usize>());
    elements
}

/// A grey 28×28 image as a client would send it.
fn png(grey: &[u8]) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    PngEncoder::new(&mut bytes).write_image(grey, 28, 28, ExtendedColorType::L8).unwrap();
    bytes.into_inner()
}

fn pixels_of_png(bytes: &[u8], transform: &Transform) -> Pixels {
    let header = pixels::probe(bytes, 28 * 28).unwrap();
    transform.apply(&pixels::decode(bytes, &header).unwrap())
}

fn top_1(logits: &[f32]) -> usize {
    (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap()
}
