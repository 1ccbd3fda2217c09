//! How a model's images per second grow with threads, and what several models make together: alone on one thread, on all of them, several at
//! once on a thread each, and several that take turns on all threads, as the server runs them. All cases take turns, so that a machine that changes
//! its speed changes it for all. Weights are random, and each model has its own.
//!
//!     cargo bench --bench scaling -- --model convnext_tiny --batch 1,8 --threads 2
//!
//! What models make together when they are served tells `--bench serve -- --together`. Not here: what one run costs (`convnext bench`).
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for whoever builds the engine")]

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use clap::Parser;
use convnext_server::engine::cpu::{Cores, Cpu};
use convnext_server::engine::{Batch, DeviceId, Engine, Image, Loaded, Options, PixelFormat, Precision};
use convnext_server::model::Spec;
use convnext_server::program::{InputSpec, Program, RandomWeights};

const SIDE: usize = 224;
const GREY: &[u8] = &[128; SIDE * SIDE * 3];

#[derive(Parser)]
struct Args {
    /// An architecture
    #[arg(long, default_value = "convnext_tiny")]
    model: String,
    #[arg(long, value_delimiter = ',', default_value = "1,8")]
    batch: Vec<usize>,
    /// Threads of the largest case, and its models [default: cores]
    #[arg(long)]
    threads: Option<usize>,
    /// f32, bf16 or int8
    #[arg(long, default_value = "f32")]
    precision: Precision,
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Of each case in a round
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Cargo says so
    #[arg(long, hide = true)]
    bench: bool,
}

/// Models that run in one way.
struct Case {
    name: String,
    models: Vec<Arc<dyn Loaded>>,
    /// Each on a thread of its own; otherwise one after the other.
    at_once: bool,
    /// By round.
    rates: Vec<f64>,
}

fn main() {
    let args = Args::parse();
    let threads = args.threads.unwrap_or(Cores::available().usable);
    let turn = Duration::from_secs_f64(args.seconds);
    let program = Spec::published(&args.model).unwrap().program(InputSpec::imagenet(SIDE)).unwrap();
    println!(
        "{} in {}, {} rounds of {} s, cores: {}",
        args.model,
        args.precision,
        args.rounds,
        args.seconds,
        Cores::available()
    );
    for &batch in &args.batch {
        let options = |threads| Options { precision: args.precision, max_batch: batch, threads, profile: false };
        let case = |name: String, models: usize, threads, at_once| Case {
            name,
            models: (0..models).map(|seed| load(&program, seed as u64, &options(threads))).collect(),
            at_once,
            rates: Vec::new(),
        };
        let mut cases = [
            case("1 model on 1 thread".to_owned(), 1, 1, false),
            case(format!("1 model on {threads}"), 1, threads, false),
            case(format!("{threads} models at once, each on 1"), threads, 1, true),
            case(format!("{threads} models in turns on {threads}"), threads, threads, false),
        ];
        for round in 0..=args.rounds {
            for case in &mut cases {
                let rate = case.run(batch, turn);
                // the first round is the warm-up
                if round > 0 {
                    case.rates.push(rate);
                }
            }
        }
        let one = cases[0].rates.clone();
        for Case { name, rates, .. } in &cases {
            let ratios = rates.iter().zip(&one).map(|(rate, one)| rate / one).collect();
            println!("batch {batch}: {name}: {:.2} images/s, {:.2} times", median(rates.clone()), median(ratios));
        }
    }
}

fn load(program: &Program, seed: u64, options: &Options) -> Arc<dyn Loaded> {
    Cpu::default().load(DeviceId(0), program, &RandomWeights::new(program, seed), options).unwrap()
}

impl Case {
    /// Images a second of all its models.
    fn run(&self, batch: usize, turn: Duration) -> f64 {
        if !self.at_once {
            return images_per_second(&self.models, batch, turn, &Barrier::new(1));
        }
        // an executable stays on the thread that made it
        let ready = Barrier::new(self.models.len());
        let run = |model: &Arc<dyn Loaded>| images_per_second(std::slice::from_ref(model), batch, turn, &ready);
        std::thread::scope(|scope| {
            let threads: Vec<_> = self.models.iter().map(|model| scope.spawn(|| run(model))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        })
    }
}

/// Of models that run one after the other, once all are `ready`.
fn images_per_second(models: &[Arc<dyn Loaded>], batch: usize, turn: Duration, ready: &Barrier) -> f64 {
    let mut executables: Vec<_> = models.iter().map(|model| model.instantiate().unwrap()).collect();
    let mut run = || {
        for executable in &mut executables {
            executable.run((0..batch).map(|_| Image::new(PixelFormat::Rgb8, GREY)).collect::<Batch>()).unwrap();
        }
    };
    run();
    ready.wait();
    let (began, mut images) = (Instant::now(), 0);
    while began.elapsed() < turn {
        run();
        images += batch * models.len();
    }
    images as f64 / began.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
