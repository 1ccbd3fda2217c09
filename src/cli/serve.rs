//! `convnext serve`: configuration, models, listener, drain.

mod secured;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use secured::{Secrets, Secured};

use super::notify::Supervisor;
use super::progress::Telling;
use super::{Failure, device, model_ref};
use crate::admin;
use crate::config::engine::ChosenEngine;
use crate::config::{Config, Flags};
use crate::engine::Engine;
use crate::engine::cpu::Cores;
use crate::net::{self, Port};
use crate::service::{Calibration, Classifier, NamedModel};
use crate::telemetry::{self, LogLevel};
use crate::{grpc, http};

/// Connections of the admin port: a few operators, and whoever scrapes.
const ADMIN_CONNECTIONS: usize = 64;

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
    let mut config = args.flags.or(file.unwrap_or_default()).resolve().map_err(Failure::usage)?;
    if config.engine == ChosenEngine::Null {
        // nothing beside nothing is no measurement of models
        config.settings.calibration = Calibration::Off;
    }
    let (log_level, _logging) = telemetry::init(config.log_format, &config.log).map_err(Failure::usage)?;
    // all that can be wrong with the configuration shows before a port is bound
    let secrets = Secrets::read(&config).map_err(Failure::Usage)?;
    let engine = device::serving(config.engine, &config.device).map_err(Failure::Usage)?;
    let mut models: Vec<NamedModel> = config
        .models
        .iter()
        .map(|text| model_ref::named(text, Telling::Log))
        .collect::<Result<_, _>>()
        .map_err(Failure::Usage)?;
    model_ref::give_baselines(&mut models, &config.baselines, config.model_repository.is_some())
        .map_err(Failure::Usage)?;
    if let Some(folder) = config.model_repository.as_deref().filter(|folder| !folder.is_dir()) {
        return Err(Failure::Usage(anyhow!("model-repository {}: there is no such folder", folder.display())));
    }
    if let Some(name) = config.model_tables.keys().find(|name| models.iter().all(|model| model.name != **name))
        && config.model_repository.is_none()
    {
        let served: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
        return Err(Failure::Usage(anyhow!(
            "table model.{name}: no such model is served; there are {}",
            served.join(", ")
        )));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting tokio")?;
    tracing::info!(
        cores = %Cores::available(),
        engine = config.settings.engine_threads,
        decode = config.settings.decode_threads,
        // of an environment variable of tokio's own, or as many as there are cores
        network = runtime.metrics().num_workers(),
        "threads"
    );
    runtime.block_on(serve(config, secrets, engine, models, log_level))
}

async fn serve(
    mut config: Config,
    secrets: Secrets,
    engine: Arc<dyn Engine>,
    models: Vec<NamedModel>,
    log_level: LogLevel,
) -> Result<(), Failure> {
    let (classifier, loading) = Classifier::start(engine, models, config.settings).map_err(Failure::usage)?;
    let Secured { tls, access, watching: _watching } = secrets.follow(classifier.metrics())?;
    config.http.access.clone_from(&access);
    net::make_room(config.max_connections.saturating_mul(2).saturating_add(ADMIN_CONNECTIONS));
    let (listener, address) = bind(config.http_addr).await?;
    let (grpc_listener, grpc_address) = bind(config.grpc_addr).await?;
    let (admin_listener, admin_address) = bind(config.admin_addr).await?;
    let grpc = grpc::router(
        classifier.clone(),
        grpc::Options {
            body_timeout: config.http.body_timeout,
            allow_model_control: config.http.allow_model_control,
            access: access.clone(),
        },
    );
    let admin = admin::router(classifier.clone(), log_level, config.http.metrics_compat, access);
    let router = http::router(classifier.clone(), config.http);
    let ports = vec![
        Port { name: "http", listener, router, max_connections: config.max_connections, tls: tls.clone() },
        Port {
            name: "grpc",
            listener: grpc_listener,
            router: grpc,
            max_connections: config.max_connections,
            tls: tls.clone(),
        },
        Port {
            name: "admin",
            listener: admin_listener,
            router: admin,
            max_connections: ADMIN_CONNECTIONS,
            tls: tls.clone(),
        },
    ];
    let scheme = if tls.is_some() { "https" } else { "http" };
    let supervisor = Arc::new(Supervisor::of_environment());
    let stop = {
        let (signal, supervisor) = (stop_signal()?, supervisor.clone());
        async move {
            signal.await;
            supervisor.stopping();
        }
    };
    ignore_hangup()?;
    let mut server = tokio::spawn(async move {
        net::serve(ports, config.net, classifier.metrics(), || classifier.begin_drain(), stop).await
    });
    // live from here on; ready once the models are
    tracing::info!(%address, %grpc_address, %admin_address, "live");
    tokio::spawn({
        let supervisor = supervisor.clone();
        async move { supervisor.live().await }
    });
    // a server that is told to stop does not wait for models that still load
    let drained = tokio::select! {
        drained = &mut server => drained,
        loaded = loading.done() => {
            loaded.map_err(anyhow::Error::from)?;
            tracing::info!(%address, "the configured models are loaded, or have said why not");
            let mut stdout = std::io::stdout();
            let listening = format!("listening on {scheme}://{address}\nadmin on {scheme}://{admin_address}\ngrpc on {scheme}://{grpc_address}\n");
            // a supervisor may have closed standard output: serving goes on
            let _ = stdout.write_all(listening.as_bytes()).and_then(|()| stdout.flush());
            supervisor.ready(&format!("serving on {address}, grpc on {grpc_address}"));
            server.await
        }
    };
    let drained = drained.context("the server has failed")?;
    tracing::info!(?drained, "stopped");
    if drained.is_clean() { Ok(()) } else { Err(anyhow!("the drain was cut off with requests in flight").into()) }
}

/// A listener, and its address with the port that it got.
async fn bind(address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("binding {address}"))?;
    let bound = listener.local_addr().context("asking for the bound address")?;
    Ok((listener, bound))
}

/// SIGHUP does nothing: neither a closed terminal nor a habit of other servers ends this one.
fn ignore_hangup() -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            tracing::info!(
                "SIGHUP is ignored: models are reloaded by the admin port, certificates and keys when their files change, flags and file are read at the start only"
            );
        }
    });
    Ok(())
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
