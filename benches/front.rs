//! What an image costs before the engine sees it: decoding, resizing and cropping to 224×224, in ms of one core.
//!
//!     cargo bench --bench front -- benches/500x375.jpg tests/images/coffee.webp
//!
//! Without files it is one of those whom `front.py` compares: it takes a file from each line of its input and answers a turn.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for whoever builds the server")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Parser;
use convnext_server::pixels::{CropRounding, Filter, Fit, Transform, decode, decode_for, probe};

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// As most models of ImageNet have it.
const TRANSFORM: Transform = Transform {
    height: 224,
    width: 224,
    fit: Fit::ShortestEdge(256),
    rounding: CropRounding::HalfToEven,
    filter: Filter::Bicubic,
    fill: [0; 3],
    grey: false,
};

#[derive(Parser)]
struct Args {
    /// Images
    files: Vec<PathBuf>,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Of each turn
    #[arg(long, default_value_t = 0.5)]
    seconds: f64,
    /// Cargo says so
    #[arg(long, hide = true)]
    bench: bool,
}

/// Medians of a turn, in ms.
#[derive(Clone, Copy, serde::Serialize)]
struct Turn {
    /// The head, then as much as the transform needs, decoded.
    decode: f64,
    /// To the pixels of the input.
    transform: f64,
    /// Both in one.
    all: f64,
    /// The whole image decoded.
    whole: f64,
}

fn main() {
    let args = Args::parse();
    if args.files.is_empty() {
        for line in std::io::stdin().lines() {
            println!("{}", serde_json::to_string(&turn(Path::new(&line.unwrap()), args.seconds)).unwrap());
            std::io::stdout().flush().unwrap();
        }
        return;
    }
    for file in &args.files {
        let turns: Vec<Turn> = (0..args.rounds).map(|_| turn(file, args.seconds)).collect();
        let of = |field: fn(&Turn) -> f64| median(turns.iter().map(field).collect());
        println!(
            "{}: {:.3} ms: decoding {:.3}, transforming {:.3}; the whole decoded {:.3}",
            file.display(),
            of(|turn| turn.all),
            of(|turn| turn.decode),
            of(|turn| turn.transform),
            of(|turn| turn.whole)
        );
    }
}

fn turn(file: &Path, seconds: f64) -> Turn {
    let bytes = std::fs::read(file).unwrap();
    let mut pixels = vec![0; TRANSFORM.bytes()];
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let [mut decoded, mut transformed, mut all, mut whole] = [const { Vec::new() }; 4];
    while Instant::now() < end || all.len() < 3 {
        let began = Instant::now();
        let header = probe(&bytes, u64::MAX).unwrap();
        let part = decode_for(&bytes, &header, &TRANSFORM).unwrap();
        decoded.push(ms(began));
        let resizes = Instant::now();
        TRANSFORM.apply_part_into(&part, &mut pixels).unwrap();
        transformed.push(ms(resizes));
        all.push(ms(began));
    }
    // by itself: the memory of whole images would go to and come from the system every time
    let end = Instant::now() + Duration::from_secs_f64(seconds / 4.0);
    while Instant::now() < end || whole.is_empty() {
        let began = Instant::now();
        let header = probe(&bytes, u64::MAX).unwrap();
        let image = decode(&bytes, &header).unwrap();
        whole.push(ms(began));
        drop(image);
    }
    Turn { decode: median(decoded), transform: median(transformed), all: median(all), whole: median(whole) }
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
