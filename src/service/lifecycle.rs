//! Models come and go while others serve: load, unload, reload, and what changes in a repository, one command after the other on
//! a thread of their own.
//!
//! A version is loaded and warmed beside the one that serves, then takes its place; requests that began with the old one end with
//! it. A load that fails changes nothing but what is said of the model. Not here: how one version is loaded (`loader`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::oneshot;

use super::loader::Loader;
use super::options::ModelOptions;
use super::registry::{Registry, Version};
use super::repository::{self, Fingerprint, Stored};
use super::{ModelSource, NamedModel};
use crate::checkpoint::Checkpoint;

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
    /// Look at the repository's [`Changes`].
    Changed,
    End,
}

/// Where what becomes of a command will be told.
pub(super) type Done = oneshot::Receiver<Result<(), ModelError>>;

/// When the repository changed last, where that was not followed yet.
type Changes = Arc<Mutex<Option<Instant>>>;

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
}

impl Lifecycle {
    /// Starts the thread, which begins with the models as they are configured, the default first.
    pub(super) fn start(
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
                known.baseline.clone_from(baseline);
                known.versions.insert(1, Version { loading: true, ..Version::default() });
            });
        }
        let sources = configured.into_iter().map(|model| (model.name, model.source)).collect();
        let sender = messages.clone();
        std::thread::Builder::new().name("models".to_owned()).spawn(move || {
            let mut keeper = Keeper {
                loader,
                registry,
                sources,
                repository,
                overrides,
                defaults,
                unloaded: HashSet::new(),
                tried: HashMap::new(),
                changes: Changes::default(),
            };
            let watcher = keeper.watch(sender);
            keeper.run(&inbox);
            drop(watcher);
        })?;
        Ok((Self { messages }, loading))
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
        // where there is no room, the thread ends when the last sender has gone
        let _ = self.messages.try_send(Message::End);
    }
}

/// The thread's own.
struct Keeper {
    loader: Loader,
    registry: Arc<Registry>,
    /// Where configured models come from.
    sources: HashMap<String, ModelSource>,
    repository: Option<Repository>,
    overrides: BTreeMap<String, ModelOptions>,
    defaults: ModelOptions,
    /// Models that a command has unloaded: changes on disk do not bring them back.
    unloaded: HashSet<String>,
    /// What of the repository was tried, loaded or not: it is tried again when it has changed.
    tried: HashMap<(String, u64), Fingerprint>,
    changes: Changes,
}

impl Keeper {
    /// Watches the repository, if there is one.
    fn watch(&self, messages: SyncSender<Message>) -> Option<RecommendedWatcher> {
        let folder = &self.repository.as_ref()?.folder;
        let changes = Arc::clone(&self.changes);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // reading a model makes events too
            if !event.is_ok_and(|event| event.kind.is_access()) {
                let known = changes.lock().unwrap_or_else(PoisonError::into_inner).replace(Instant::now());
                // One message for many changes: a large copy makes thousands, which would leave no room for commands. Where
                // there is no room, the thread wakes up anyway.
                if known.is_none() {
                    let _ = messages.try_send(Message::Changed);
                }
            }
        });
        let watching = watcher.and_then(|mut watcher| {
            watcher.watch(folder, RecursiveMode::Recursive)?;
            Ok(watcher)
        });
        watching
            .inspect_err(|error| {
                tracing::error!(folder = %folder.display(), %error, "the repository is not watched; reload models by command");
            })
            .ok()
    }

    fn run(&mut self, inbox: &Receiver<Message>) {
        // before anything is loaded, so that the server is not ready with the first of several models
        if let Some(found) = self.scan() {
            self.expect(&found);
        }
        // the repository as it is now, after the commands that wait already
        let mut follow_at = self.repository.as_ref().map(|_| Instant::now());
        loop {
            let message = match follow_at {
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => inbox.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            match message {
                Ok(Message::Command(command, reply)) => {
                    let _ = reply.send(self.carry_out(command));
                }
                Ok(Message::Changed) => {}
                Err(RecvTimeoutError::Timeout) => {
                    follow_at = None;
                    self.follow_repository();
                }
                Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => return,
            }
            let changed = self.changes.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some((changed, repository)) = changed.zip(self.repository.as_ref()) {
                follow_at = Some(changed + repository.settle);
            }
        }
    }

    fn carry_out(&mut self, command: Command) -> Result<(), ModelError> {
        match command {
            Command::Load(name) => self.bring(&name, false),
            Command::Reload(name) => self.bring(&name, true),
            Command::Unload(name) => {
                if !self.registry.names().contains(&name) {
                    return Err(ModelError::Unknown(name));
                }
                self.unloaded.insert(name.clone());
                let dropped = self.registry.change(&name, |known| {
                    // what was said of it is over, but its versions stay known
                    known.error = None;
                    let versions = known.versions.values_mut();
                    versions.map(std::mem::take).collect::<Vec<_>>()
                });
                self.drop_versions(&name, dropped);
                tracing::info!(model = name, "model unloaded");
                Ok(())
            }
        }
    }

    /// Loads the versions of a model that are wanted; those that serve already only if `anew`. Then drops the others.
    fn bring(&mut self, name: &str, anew: bool) -> Result<(), ModelError> {
        let available = self.available(name)?;
        let options = self.options(name);
        self.unloaded.remove(name);
        self.registry.change(name, |known| known.options = options.clone());
        let wanted = options.wanted(&available.keys().copied().collect::<Vec<_>>());
        let mut errors = Vec::new();
        for number in &options.default_first(&wanted) {
            let serves = self.registry.serving(name).contains(number);
            if anew || !serves {
                let Some(stored) = available.get(number) else { continue };
                errors.extend(self.load(name, *number, stored, &options).err());
            }
        }
        if wanted.is_empty() {
            errors.push(NO_VERSION.to_owned());
            self.registry.change(name, |known| known.error = errors.last().cloned());
        }
        if errors.is_empty() {
            self.registry.change(name, |known| known.error = None);
            self.retain(name, &wanted);
            return Ok(());
        }
        // what serves goes on until what is wanted does
        Err(ModelError::Failed { model: name.to_owned(), why: errors.join("; ") })
    }

    /// The versions of a model that there are, and how each is opened.
    fn available(&self, name: &str) -> Result<BTreeMap<u64, Available>, ModelError> {
        if let Some(source) = self.sources.get(name) {
            return Ok(BTreeMap::from([(1, Available::Configured(source.clone()))]));
        }
        let unknown = || ModelError::Unknown(name.to_owned());
        let folder = self.repository.as_ref().ok_or_else(unknown)?.folder.join(name);
        if super::names::check_name(name).is_err() || !folder.is_dir() {
            return Err(unknown());
        }
        let versions = repository::versions(&folder).map_err(|error| {
            self.cannot_be_read(name, &error);
            ModelError::Failed { model: name.to_owned(), why: error.to_string() }
        })?;
        Ok(versions.into_iter().map(|(number, stored)| (number, Available::Stored(stored))).collect())
    }

    fn options(&self, name: &str) -> ModelOptions {
        self.overrides.get(name).unwrap_or(&self.defaults).clone()
    }

    /// Loads a version and puts it in the place of what served.
    fn load(&mut self, name: &str, number: u64, from: &Available, options: &ModelOptions) -> Result<(), String> {
        let version = |change: &dyn Fn(&mut Version)| {
            self.registry.change(name, |known| change(known.versions.entry(number).or_default()));
        };
        version(&|version| version.loading = true);
        if let Available::Stored(stored) = from {
            self.tried.insert((name.to_owned(), number), stored.fingerprint.clone());
        }
        match self.loader.load(name, number, &|| from.open(), options) {
            Ok(model) => {
                let model = Arc::new(model);
                let old = self.registry.change(name, |known| {
                    let new = Version { model: Some(model), ..Version::default() };
                    known.versions.insert(number, new)
                });
                drop(old); // outside the lock; it ends with its last request
                Ok(())
            }
            Err(why) => {
                tracing::error!(model = name, version = number, why, "a model does not load");
                version(&|version| {
                    version.loading = false;
                    version.error = Some(why.clone());
                });
                Err(why)
            }
        }
    }

    /// Stops serving all versions of a model but these, and forgets them.
    fn retain(&mut self, name: &str, wanted: &[u64]) {
        let dropped = self.registry.change(name, |known| {
            let (stay, go) =
                std::mem::take(&mut known.versions).into_iter().partition(|(number, _)| wanted.contains(number));
            known.versions = stay;
            go
        });
        let dropped: BTreeMap<u64, Version> = dropped;
        // one that comes back is to be loaded, though its files are as they were
        self.tried.retain(|(model, number), _| model != name || !dropped.contains_key(number));
        self.drop_versions(name, dropped.into_values());
    }

    /// Lets go of versions, outside of the registry's lock. They end with their last request, until which their metrics are seen.
    fn drop_versions(&self, name: &str, versions: impl IntoIterator<Item = Version>) {
        let none_serves = self.registry.serving(name).is_empty();
        for model in versions.into_iter().filter_map(|version| version.model) {
            if none_serves {
                model.metrics.ready(false);
            }
        }
    }

    /// What the repository has now; None where there is none or it cannot be read.
    fn scan(&self) -> Option<Found> {
        let folder = &self.repository.as_ref()?.folder;
        let found = repository::scan(folder);
        found
            .inspect_err(|error| {
                tracing::error!(folder = %folder.display(), %error, "the model repository cannot be read; nothing is changed");
            })
            .ok()
    }

    /// Says of a model why its folder cannot be read.
    fn cannot_be_read(&self, name: &str, error: &std::io::Error) {
        tracing::error!(model = name, %error, "the model's folder cannot be read; nothing of it is changed");
        self.registry.change(name, |known| known.error = Some(format!("its folder cannot be read: {error}")));
    }

    /// The models of a repository that follow their folders: all but those that are configured or were unloaded by a command.
    fn following<'a>(&self, found: &'a Found) -> Vec<(&'a String, &'a std::io::Result<BTreeMap<u64, Stored>>)> {
        found.iter().filter(|(name, _)| !self.unloaded.contains(*name) && !self.sources.contains_key(*name)).collect()
    }

    /// Whether a version was tried as it is.
    fn was_tried(&self, name: &str, number: u64, stored: &Stored) -> bool {
        self.tried.get(&(name.to_owned(), number)) == Some(&stored.fingerprint)
    }

    /// Says of the versions that are about to be loaded that they are.
    fn expect(&self, found: &Found) {
        for (name, versions) in self.following(found) {
            let Ok(versions) = versions else { continue };
            let options = self.options(name);
            let wanted = options.wanted(&versions.keys().copied().collect::<Vec<_>>());
            self.registry.change(name, |known| {
                known.options = options;
                // some that were expected before may have gone
                known.versions.values_mut().for_each(|version| version.loading = false);
                for number in wanted.into_iter().filter(|number| !self.was_tried(name, *number, &versions[number])) {
                    known.versions.entry(number).or_default().loading = true;
                }
            });
        }
    }

    /// Loads what is new or has changed in the repository, and unloads what has gone.
    fn follow_repository(&mut self) {
        let Some(found) = self.scan() else { return };
        self.expect(&found);
        for (name, versions) in self.following(&found) {
            match versions {
                Ok(versions) => self.follow(name, versions),
                Err(error) => self.cannot_be_read(name, error),
            }
        }
        let mut gone = self.registry.names();
        gone.retain(|name| !found.contains_key(name) && !self.sources.contains_key(name));
        for name in gone {
            tracing::info!(model = name, "the model has gone from the repository");
            self.retain(&name, &[]);
            self.unloaded.remove(&name);
            drop(self.registry.forget(&name));
        }
    }

    /// Brings one model to what its folder has.
    fn follow(&mut self, name: &str, versions: &BTreeMap<u64, Stored>) {
        let options = self.options(name);
        let available: Vec<u64> = versions.keys().copied().collect();
        let wanted = options.wanted(&available);
        for number in &options.default_first(&wanted) {
            let stored = &versions[number];
            if !self.was_tried(name, *number, stored) {
                // errors are in the log and in what is said of the model
                let _ = self.load(name, *number, &Available::Stored(stored.clone()), &options);
            }
        }
        let error = wanted.is_empty().then(|| NO_VERSION.to_owned());
        self.registry.change(name, |known| known.error = error);
        let serving = self.registry.serving(name);
        let serve = |number: &u64| serving.contains(number);
        if wanted.iter().all(serve) {
            self.retain(name, &wanted);
        } else if wanted.iter().any(serve) {
            // those that have gone need not stand in for what does not load
            self.retain(name, &available);
        }
    }
}

/// What a repository has of each model, or why that cannot be said.
type Found = BTreeMap<String, std::io::Result<BTreeMap<u64, Stored>>>;

/// Why a model without versions does not serve.
const NO_VERSION: &str = "it has no version to load";

/// A version that can be opened.
enum Available {
    Configured(ModelSource),
    Stored(Stored),
}

impl Available {
    fn open(&self) -> Result<Checkpoint, crate::checkpoint::CheckpointError> {
        match self {
            Self::Configured(source) => source(),
            Self::Stored(stored) => crate::checkpoint::open(&stored.folder),
        }
    }
}
