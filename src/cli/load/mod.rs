//! `convnext load`: how a server bears a load, by clients that wait for their answers or by requests that come whatever became of those before.
//!
//! Not here: the engine alone (`bench`).

pub(super) mod arrivals;
mod client;
mod drive;
mod grpc;
pub(super) mod images;
mod plot;
mod record;
mod report;
mod target;

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use hyper::Uri;
use tokio::time::Instant;

use self::arrivals::{Arrivals, Spacing};
use self::client::Client;
use self::drive::Window;
use self::record::Record;
use self::report::{Load, Report};
use self::target::{Route, Target};
use super::tls_client::Trust;
use super::{Failure, print};
use crate::config::units::Span;
use crate::net;

/// The end of the command's help: what its figures mean.
pub(super) const METHOD: &str = "\
With --clients, each client asks, waits for its answer, and asks again: as fast as the server answers, whatever that is (a closed loop). This finds the \
throughput.

With --rate, requests come on a schedule of their own, whether those before were answered or not, as users do (an open loop). The latency of each counts \
from when it was due: a server that stalls delays all that were due meanwhile, and all of them are told. This finds the latency at a load. Where \
more than --clients would be in flight, arrivals wait for a place; how many did is told as late, and their waiting is part of their latency. lag is what the \
generator itself was late at most.

Requests of the warm-up are sent and not counted. Latencies are of answers with success, and of requests that got none within --timeout, \
which count with the time that they waited. Throughput counts the answers that came in the measured time. The exit code is 1 when a request failed.

To size a deployment: find the throughput with --clients 64, then raise --rate towards it until p99 is more than you promise.

Try:
  convnext load --images ./photos                                  8 clients for 10 s
  convnext load --images ./photos --rate 100 --plot latency.svg    100 requests/s, whatever becomes of them
  convnext load http://server:8080 --route oip --model cats --clients 64";

/// Clients of a closed loop, and the most requests in flight of an open one.
const CLIENTS: usize = 8;
const IN_FLIGHT: usize = 1024;

/// Arguments of `load`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The server
    #[arg(default_value = "http://127.0.0.1:8080", value_name = "URL")]
    url: String,
    /// Clients, each of which waits for its answer; with --rate the most requests in flight [default: 8; 1024]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    clients: Option<u32>,
    /// Requests a second that come whatever became of those before, 0.1 to 100,000
    #[arg(long, value_name = "PER SECOND", value_parser = rate)]
    rate: Option<f64>,
    /// How the requests of a rate lie in time
    #[arg(long, value_enum, default_value = "even", requires = "rate")]
    arrivals: Spacing,
    /// The same number has requests come at the same times, here and in `convnext plan` [default: by chance]
    #[arg(long, value_name = "NUMBER", requires = "rate")]
    seed: Option<u64>,
    /// Measured time, 0.1 to 3600
    #[arg(long, default_value = "10", value_parser = super::bench::seconds)]
    seconds: Duration,
    /// Before the measured time
    #[arg(long, default_value = "2s", value_name = "DURATION")]
    warm_up: Span,
    /// From when a request is due to its answer, at most
    #[arg(long, default_value = "30s", value_name = "DURATION")]
    timeout: Span,
    /// What is asked
    #[arg(long, value_enum, default_value = "classify")]
    route: Route,
    /// The model [default: the server's]
    #[arg(long)]
    model: Option<String>,
    /// An image, or a folder of images, which take turns; what takes tensors gets noise instead
    #[arg(long, value_name = "PATH")]
    images: Option<PathBuf>,
    /// A key of scope infer, for a server that asks for one
    #[arg(long, env = "CONVNEXT_API_KEY", value_name = "KEY", hide_env_values = true)]
    api_key: Option<String>,
    #[command(flatten)]
    trust: Trust,
    /// JSON instead of lines
    #[arg(long)]
    json: bool,
    /// Draw the latencies, an SVG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| (0.1..=100_000.0).contains(rate));
    rate.ok_or_else(|| "0.1 to 100,000 requests a second are possible".to_owned())
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let server = target::server(&args.url).map_err(Failure::Usage)?;
    let images = match (&args.images, args.route) {
        (_, Route::Oip) | (None, Route::Grpc) => Vec::new(),
        (Some(path), _) => images::images(path).map_err(Failure::Usage)?,
        (None, _) => return Err(Failure::Usage(anyhow!("--images PATH is needed: an image, or a folder of images"))),
    };
    if args.route == Route::Grpc && args.model.is_none() {
        return Err(Failure::Usage(anyhow!("--route grpc needs --model NAME, or NAME_image, which takes files")));
    }
    if args.timeout.0.is_zero() {
        return Err(Failure::Usage(anyhow!("--timeout is 0s; it must be more")));
    }
    if let Some(path) = &args.plot {
        // now and not after the run; what is in the file stays until there is something better
        let opened = OpenOptions::new().append(true).create(true).open(path);
        opened.with_context(|| format!("--plot {}", path.display())).map_err(Failure::Usage)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting tokio")?;
    let client = Client::new(args.route == Route::Grpc, &args.trust, args.api_key.as_deref());
    let client = client.map_err(Failure::Usage)?;
    let report = runtime.block_on(load(&args, client, &server, images))?;
    if let Some(path) = &args.plot {
        std::fs::write(path, plot::svg(&report)).with_context(|| format!("writing {}", path.display()))?;
    }
    print(&if args.json { format!("{:#}\n", report.json()) } else { report.text() })?;
    match (report.record.failed(), report.record.requests) {
        (_, 0) => {
            Err(anyhow!("no request was due in the measured time: a higher --rate or more --seconds are needed").into())
        }
        (0, _) => Ok(()),
        (failed, requests) => Err(anyhow!("{failed} of {requests} requests failed").into()),
    }
}

/// Finds the model, and puts the load on it.
async fn load(args: &Args, client: Client, server: &Uri, images: Vec<bytes::Bytes>) -> anyhow::Result<Report> {
    let (model, target) = if let (Route::Grpc, Some(model)) = (args.route, &args.model) {
        let metadata = client.metadata(server, model, args.timeout.0).await?;
        (model.clone(), Target::of_grpc(server, grpc::messages(&metadata, &images)?)?)
    } else {
        let models = client.models(target::at(server, "/models")?, args.timeout.0).await?;
        let model = target::choose(models, args.model.as_deref())?;
        let target = Target::new(server, args.route, &model, images)?;
        (model.name, target)
    };
    let target = Arc::new(target);
    let clients = args.clients.map(|clients| clients as usize);
    let load = match args.rate {
        None => Load::Closed { clients: clients.unwrap_or(CLIENTS) },
        Some(rate) => Load::Open { rate, spacing: args.arrivals.name(), most: clients.unwrap_or(IN_FLIGHT) },
    };
    let url = target.uri().to_string();
    let send = move |number| {
        let (client, request) = (client.clone(), target.request(number));
        async move { client.send(request).await }
    };
    let record = Record::new()?;
    let window =
        Window { start: Instant::now(), warm_up: args.warm_up.0, measured: args.seconds, timeout: args.timeout.0 };
    let record = match load {
        Load::Closed { clients } => {
            net::make_room(clients);
            drive::closed(clients, window, record, send).await
        }
        Load::Open { rate, most, .. } => {
            net::make_room(most);
            let due = drive::clock(
                Arrivals::new(rate, args.arrivals, args.seed.unwrap_or_else(|| fastrand::u64(..))),
                window,
            );
            drive::open(due.context("starting the clock's thread")?, most, window, record, send).await
        }
    };
    Ok(Report { url, model, load, measured: args.seconds, record })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_within_reason() {
        assert_eq!(rate("0.5"), Ok(0.5));
        for wrong in ["0", "0.05", "100001", "-1", "NaN", "inf", "5/s", ""] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
