//! Models come and go while others serve: load, unload, reload, and what changes in a repository, one command after the other on
//! a thread of their own.
//!
//! A version is loaded and warmed beside the one that serves, then takes its place; requests that began with the old one end with
//! it. A load that fails changes nothing but what is said of the model. Not here: how one version is loaded (`loader`), what the thread does
//! (`thread`), how it learns of changes (`watcher`).

mod thread;
mod watcher;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tokio::sync::oneshot;

use super::NamedModel;
use super::loader::Loader;
use super::options::ModelOptions;
use super::registry::{Registry, Version};
use super::threads::Threads;
use thread::LifecycleThread;

/// A command about a model could not be carried out. What served before serves on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// Nobody knows a model of this name.
    #[error("no model {0} is configured, and none is in the repository")]
    Unknown(String),
    /// It does not load.
    #[error("{model}: {why}")]
    Failed {
        /// The model's name.
        model: String,
        /// What each of its versions said.
        why: String,
    },
    /// More commands wait than are held.
    #[error("{WAITING_COMMANDS} commands about models wait already")]
    Busy,
    /// The service is about to end.
    #[error("the server is stopping")]
    Stopping,
}

/// What to do with a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Load what is not loaded.
    Load(String),
    /// Load all of it anew.
    Reload(String),
    /// Stop serving it, until it is loaded again.
    Unload(String),
}

enum Message {
    Command(Command, oneshot::Sender<Result<(), ModelError>>),
    /// Look whether the repository has changed, or whether the thread is to end.
    Wake,
}

/// Where what becomes of a command will be told.
pub(super) type Done = oneshot::Receiver<Result<(), ModelError>>;

/// Commands that may wait; they are an operator's.
const WAITING_COMMANDS: usize = 64;

/// A repository of models that is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// Its folder.
    pub folder: PathBuf,
    /// How long nothing must change before changes count: files come one after the other.
    pub settle: Duration,
}

/// The thread's handle. Dropping it ends the thread.
#[derive(Debug)]
pub(super) struct Lifecycle {
    messages: SyncSender<Message>,
    ending: Arc<AtomicBool>,
}

impl Lifecycle {
    /// Starts the thread, which begins with the models as they are configured, the default first.
    pub(super) fn start(
        threads: &Arc<Threads>,
        loader: Loader,
        registry: Arc<Registry>,
        configured: Vec<NamedModel>,
        repository: Option<Repository>,
        overrides: BTreeMap<String, ModelOptions>,
        defaults: ModelOptions,
    ) -> std::io::Result<(Self, Vec<Done>)> {
        let (messages, inbox) = sync_channel(configured.len() + WAITING_COMMANDS);
        let mut loading = Vec::new();
        for NamedModel { name, .. } in &configured {
            let (reply, done) = oneshot::channel();
            let _ = messages.send(Message::Command(Command::Load(name.clone()), reply));
            loading.push(done);
        }
        for NamedModel { name, baseline, .. } in &configured {
            registry.change(name, |known| {
                known.options = overrides.get(name).unwrap_or(&defaults).clone();
                known.configured = true;
                known.baseline.clone_from(baseline);
                known.versions.insert(1, Version { loading: true, ..Version::default() });
            });
        }
        let sources = configured.into_iter().map(|model| (model.name, model.source)).collect();
        let (sender, ending) = (messages.clone(), Arc::new(AtomicBool::new(false)));
        let thread = LifecycleThread {
            loader,
            registry,
            sources,
            repository,
            overrides,
            defaults,
            unloaded: HashSet::new(),
            tried: HashMap::new(),
            ending: Arc::clone(&ending),
        };
        threads.spawn("models".to_owned(), move || thread.run(&inbox, sender))?;
        Ok((Self { messages, ending }, loading))
    }

    /// Carries a command out, after those that came before it.
    pub(super) async fn command(&self, command: Command) -> Result<(), ModelError> {
        let (reply, done) = oneshot::channel();
        self.messages.try_send(Message::Command(command, reply)).map_err(|error| match error {
            TrySendError::Full(_) => ModelError::Busy,
            TrySendError::Disconnected(_) => ModelError::Stopping,
        })?;
        done.await.unwrap_or(Err(ModelError::Stopping))
    }
}

impl Drop for Lifecycle {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Release);
        // where there is no room, the thread wakes up anyway
        let _ = self.messages.try_send(Message::Wake);
    }
}
