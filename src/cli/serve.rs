//! `convnext serve`: configuration, models, listener, drain.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, device, model_ref};
use crate::config::{Config, Flags};
use crate::engine::Engine;
use crate::http;
use crate::net::{self, Port};
use crate::service::{Classifier, NamedModel};
use crate::telemetry;

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// TOML file whose keys are the flags; flags and variables win over it
    #[arg(long, env = "CONVNEXT_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let file = args.config.as_deref().map(Flags::read).transpose().map_err(Failure::usage)?;
    let config = args.flags.or(file.unwrap_or_default()).resolve().map_err(Failure::usage)?;
    telemetry::init(config.log_format, &config.log).map_err(Failure::usage)?;
    // all that can be wrong with the configuration shows before a port is bound
    let engine = device::engine(&config.device).map_err(Failure::Usage)?;
    let mut models: Vec<NamedModel> =
        config.models.iter().map(|text| model_ref::named(text)).collect::<Result<_, _>>().map_err(Failure::Usage)?;
    model_ref::pair(&mut models, &config.baselines).map_err(Failure::Usage)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting tokio")?;
    runtime.block_on(serve(config, engine, models))
}

async fn serve(config: Config, engine: Arc<dyn Engine>, models: Vec<NamedModel>) -> Result<(), Failure> {
    let (classifier, loading) = Classifier::start(engine, models, config.settings).map_err(Failure::usage)?;
    let listener =
        TcpListener::bind(config.http_addr).await.with_context(|| format!("binding {}", config.http_addr))?;
    let address = listener.local_addr().context("asking for the bound address")?;
    let router = http::router(classifier.clone(), config.http);
    let port = Port { name: "http", listener, router, max_connections: config.max_connections };
    let stop = stop_signal()?;
    let server = tokio::spawn(async move {
        net::serve(vec![port], config.net, classifier.metrics(), || classifier.begin_drain(), stop).await
    });
    // live from here on; ready once the models are
    tracing::info!(%address, "live");
    loading.done().await.map_err(anyhow::Error::from)?;
    tracing::info!(%address, "ready");
    let mut stdout = std::io::stdout();
    // a supervisor may have closed standard output: serving goes on
    let _ = writeln!(stdout, "listening on http://{address}").and_then(|()| stdout.flush());
    let drained = server.await.context("the server has failed")?;
    tracing::info!(?drained, "stopped");
    if drained.is_clean() { Ok(()) } else { Err(anyhow!("the drain was cut off with requests in flight").into()) }
}

/// Ends at the first SIGTERM or SIGINT; a second one ends the process at once.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    Ok(async move {
        let next = async |terminate: &mut tokio::signal::unix::Signal, interrupt: &mut tokio::signal::unix::Signal| {
            tokio::select! { _ = terminate.recv() => "SIGTERM", _ = interrupt.recv() => "SIGINT" }
        };
        let name = next(&mut terminate, &mut interrupt).await;
        tracing::info!(signal = name, "draining; a second signal ends at once");
        tokio::spawn(async move {
            let name = next(&mut terminate, &mut interrupt).await;
            tracing::warn!(signal = name, "ended at once");
            #[expect(clippy::disallowed_methods, reason = "whoever signals twice wants no destructors")]
            std::process::exit(130);
        });
    })
}
