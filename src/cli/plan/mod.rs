//! `convnext plan`: how many devices a load takes, by simulating the server's own scheduler on devices of a known speed.
//!
//! Not here: the simulation (`service::simulation`), a load on a real server (`load`).

mod cards;
mod plot;
mod report;
mod search;

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use self::cards::Case;
use self::report::{Found, Report};
use self::search::Question;
use super::load::arrivals::Spacing;
use super::{Failure, print};
use crate::config::units::Span;
use crate::service::ModelOptions;
use crate::service::simulation::{Balancing, Decode, Scenario};

/// The end of the command's help: what is simulated, and what is not.
pub(super) const METHOD: &str = "\
Requests of one image each come to servers behind a load balancer. Admission, queue, scheduler, warm-up and the loop of a device's thread are this program's own, \
driven by a simulated clock; a device takes, for each batch, the time that is known of it.

For --card these times were computed and never measured: the shortest if all transfers hide behind arithmetic, the longest if none does (kernels/budgets). \
The truth is expected between the two. With --bench they are those of a machine, as `convnext bench --batch 1,2,4,8,16,32 --pauses --json` tells them, with their spread, and with what a pause of the device adds.

A batch has its time by lot, whatever the one before took. A machine that others share is slow for seconds at a time, though, and then queues grow longer. A report may say so \
beside its results, as \"slowness\": {\"every_s\": 1.0, \"factors\": [1.0, 1.8]}: batches take so many times as long in the first second, in the next, and again from the first one on. \
The first server is slow then, and each other one as much later as chance has it.

A load is held when 99 of 100 requests are answered within --p99 and none is refused. load is the share of what the devices can do at most; busy the share of the time \
in which they compute. The knee is where the curve of p99 bends up.

An autoscaler (HPA, KEDA) that aims at the mean time in the queue (convnext_stage_duration_seconds, stage queue, sum over count) adds servers above \
--queue-target. Until they serve, --reaction passes, in which the load grows by --growth a minute: it has to act that much below the highest load that is held.

Left out: the network, other models, clients that leave, budgets of bytes and pixels. Decode threads are taken to have cores of their own.

Try:
  convnext plan --model convnext_tiny --card t4,l4,a100,h100 --rate 50000 --p99 50ms --max-batch 64
  convnext plan --card l4 --rate 2000 --p99 30ms --decode-ms 2 --decode-threads 8 --plot capacity.svg
  convnext bench --models convnext_tiny --batch 1,2,4,8,16,32 --pauses --json > bench.json
  convnext plan --bench bench.json --rate 15 --p99 500ms";

/// Arguments of `plan`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The network [default: convnext_tiny, or the one of the benchmark]
    #[arg(long)]
    model: Option<String>,
    /// t4, l4, a10, a100, rtx4090, h100, whose times were computed
    #[arg(long, value_name = "CARD,…", value_delimiter = ',', required_unless_present = "bench")]
    card: Vec<String>,
    /// What `convnext bench --json` measured, in place of a card
    #[arg(long, value_name = "FILE", conflicts_with = "card")]
    bench: Option<PathBuf>,
    /// Images a second
    #[arg(long, value_name = "PER SECOND", value_parser = rate)]
    rate: f64,
    /// Latency that 99 of 100 requests are to have at most
    #[arg(long, default_value = "50ms", value_name = "DURATION")]
    p99: Span,
    /// Servers [default: the fewest that hold the latency]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    replicas: Option<u16>,
    /// Devices of a server
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u16).range(1..=64))]
    devices: u16,
    /// Who gets a request
    #[arg(long, value_enum, default_value = "round-robin")]
    balancing: Balance,
    /// How requests lie in time
    #[arg(long, value_enum, default_value = "poisson")]
    arrivals: Spacing,
    /// As serve's
    #[arg(long, default_value = "32", value_parser = clap::value_parser!(u16).range(1..=1024))]
    max_batch: u16,
    /// As serve's
    #[arg(long, default_value = "0s", value_name = "DURATION")]
    max_delay: Span,
    /// As serve's
    #[arg(long, default_value = "512", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    queue_images: u32,
    /// As serve's
    #[arg(long, default_value = "30s", value_name = "DURATION")]
    deadline: Span,
    /// What decoding and resizing an image takes of a thread; 0 where images come as tensors
    #[arg(long, default_value = "0", value_parser = millis)]
    decode_ms: Duration,
    /// Threads that decode, of a server
    #[arg(long, default_value = "8", value_parser = clap::value_parser!(u16).range(1..=1024))]
    decode_threads: u16,
    /// What a request spends in its server beside decoding, queue and batch
    #[arg(long, default_value = "0.2", value_parser = millis)]
    host_ms: Duration,
    /// Simulated time that is measured, 0.1 to 3600 [default: 10, or longer for 20,000 requests]
    #[arg(long, value_parser = super::bench::seconds)]
    seconds: Option<Duration>,
    /// Before the measured time [default: a fifth of it]
    #[arg(long, value_name = "DURATION", requires = "seconds")]
    warm_up: Option<Span>,
    /// The same number gives the same figures, and the same arrivals as `convnext load --seed`
    #[arg(long, default_value = "1", value_name = "NUMBER")]
    seed: u64,
    /// Mean time in the queue above which an autoscaler adds servers
    #[arg(long, default_value = "1ms", value_name = "DURATION")]
    queue_target: Span,
    /// From a load that is too high to servers that carry it: scrape, autoscaler, start, model
    #[arg(long, default_value = "90s", value_name = "DURATION")]
    reaction: Span,
    /// By how much the load grows in a minute, percent
    #[arg(long, default_value = "20", value_name = "PERCENT", value_parser = clap::value_parser!(u16).range(0..=1000))]
    growth: u16,
    /// Only what becomes of this rate: neither other loads nor an autoscaler
    #[arg(long)]
    only: bool,
    /// JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Draw latency by load, an SVG file
    #[arg(long, value_name = "FILE", conflicts_with = "only")]
    plot: Option<PathBuf>,
}

/// How a load balancer chooses a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Balance {
    /// One after the other, as nginx by default
    RoundRobin,
    /// Any
    Random,
    /// The one with the fewest in flight (nginx: least_conn)
    LeastRequests,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| (0.1..=10_000_000.0).contains(rate));
    rate.ok_or_else(|| "0.1 to 10,000,000 images a second are possible".to_owned())
}

fn millis(text: &str) -> Result<Duration, String> {
    let millis = text.parse::<f64>().ok().filter(|millis| (0.0..=60_000.0).contains(millis));
    millis.map(|millis| Duration::from_secs_f64(millis / 1e3)).ok_or_else(|| "0 to 60,000 ms are possible".to_owned())
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let max_batch = usize::from(args.max_batch);
    let (model, cases) = match &args.bench {
        Some(path) => {
            let (model, case) = cards::measured_case(path, args.model.as_deref(), max_batch).map_err(Failure::Usage)?;
            (model, vec![case])
        }
        None => {
            let model = args.model.clone().unwrap_or_else(|| "convnext_tiny".to_owned());
            let ends = args.card.iter().map(|card| cards::computed_cases(&model, card, max_batch));
            let ends = ends.collect::<Result<Vec<_>, _>>().map_err(Failure::Usage)?;
            (model, ends.into_iter().flatten().collect())
        }
    };
    if args.p99.0.is_zero() {
        return Err(Failure::Usage(anyhow!("--p99 is 0s; it must be more")));
    }
    if args.deadline.0.is_zero() {
        return Err(Failure::Usage(anyhow!("--deadline is 0s; it must be more")));
    }
    if let Some(path) = &args.plot {
        // now and not after the search; what is in the file stays until there is something better
        let opened = OpenOptions::new().append(true).create(true).open(path);
        opened.with_context(|| format!("--plot {}", path.display())).map_err(Failure::Usage)?;
    }
    let question = question(&args, &cases[0]);
    let found = cases.into_iter().map(|case| answer(&args, &question, case)).collect::<Result<Vec<_>, _>>()?;
    let (rate, queue_target, growth) = (args.rate, args.queue_target.0, growth(&args));
    let report = Report { model, rate, queue_target, growth, question, found };
    if let Some(path) = &args.plot {
        std::fs::write(path, plot::svg(&report)).with_context(|| format!("writing {}", path.display()))?;
    }
    print(&if args.json { format!("{:#}\n", report.json()) } else { report.text() })?;
    match report.found.iter().find(|found| found.held.is_none()) {
        Some(found) if args.replicas.is_none() => Err(anyhow!(
            "no number of {} answers 99 of 100 requests within {}: one image alone takes as long, or a queue of {} images is too short",
            found.case.device,
            args.p99,
            args.queue_images
        )
        .into()),
        _ => Ok(()),
    }
}

/// By how much a load grows until new servers carry it.
fn growth(args: &Args) -> f64 {
    1.0 + f64::from(args.growth) / 100.0 * args.reaction.0.as_secs_f64() / 60.0
}

fn question(args: &Args, first: &Case) -> Question {
    let seconds = args.seconds.unwrap_or_default();
    let decode =
        (!args.decode_ms.is_zero()).then(|| Decode { threads: usize::from(args.decode_threads), time: args.decode_ms });
    let scenario = Scenario {
        replicas: 1,
        devices: usize::from(args.devices),
        balancing: match args.balancing {
            Balance::RoundRobin => Balancing::RoundRobin,
            Balance::Random => Balancing::Random,
            Balance::LeastRequests => Balancing::LeastRequests,
        },
        speed: first.speed.clone(),
        model: ModelOptions {
            max_batch: usize::from(args.max_batch),
            max_delay: args.max_delay.0,
            queue_images: args.queue_images as usize,
            deadline: args.deadline.0,
            ..ModelOptions::default()
        },
        decode,
        host: args.host_ms,
        warm_up: args.warm_up.map_or(seconds / 5, |warm_up| warm_up.0),
        measured: seconds,
        seed: args.seed,
    };
    Question { scenario, seconds: args.seconds, spacing: args.arrivals, p99: args.p99.0 }
}

/// All that is told of a case. Loads and the autoscaler are those of the servers that were given or found, or else of one.
fn answer(args: &Args, question: &Question, case: Case) -> anyhow::Result<Found> {
    let held = match args.replicas {
        Some(servers) => {
            let servers = usize::from(servers);
            Some((servers, question.at(&case, servers, args.rate)?))
        }
        None => question.fewest(&case, args.rate)?,
    };
    let servers = held.as_ref().map_or(1, |(servers, _)| *servers);
    let (loads, autoscaling) = if args.only {
        (Vec::new(), None)
    } else {
        let autoscaling = question.autoscaling(&case, servers, args.queue_target.0, growth(args))?;
        (question.loads(&case, servers)?, autoscaling)
    };
    Ok(Found { case, held, servers, loads, autoscaling })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_within_reason() {
        assert_eq!((rate("0.5"), millis("2.5")), (Ok(0.5), Ok(Duration::from_micros(2500))));
        for wrong in ["-1", "NaN", "inf", "5/s", "", "1e9"] {
            assert!(rate(wrong).is_err() && millis(wrong).is_err(), "{wrong}");
        }
    }
}
