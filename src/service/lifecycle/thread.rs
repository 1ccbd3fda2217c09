//! The thread of the models: it decides which versions are loaded when, and puts them in the place of those before.
//! Not here: how one version is loaded (`loader`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};

use super::watcher::RepositoryWatcher;
use super::{Command, Message, ModelError, Repository};
use crate::checkpoint::{self, Checkpoint, CheckpointError};
use crate::service::ModelSource;
use crate::service::loader::Loader;
use crate::service::names::check_name;
use crate::service::options::ModelOptions;
use crate::service::registry::{Registry, Version};
use crate::service::repository::{self, Fingerprint, Stored};

/// The thread that carries commands out and follows the repository, with all that it remembers.
pub(super) struct LifecycleThread {
    pub(super) loader: Loader,
    pub(super) registry: Arc<Registry>,
    /// Where configured models come from.
    pub(super) sources: HashMap<String, ModelSource>,
    pub(super) repository: Option<Repository>,
    pub(super) overrides: BTreeMap<String, ModelOptions>,
    pub(super) defaults: ModelOptions,
    /// Models that a command has unloaded: changes on disk do not bring them back.
    pub(super) unloaded: HashSet<String>,
    /// What of the repository was tried, loaded or not: it is tried again when it has changed.
    pub(super) tried: HashMap<(String, u64), Fingerprint>,
    /// The handle is gone.
    pub(super) ending: Arc<AtomicBool>,
}

impl LifecycleThread {
    /// Carries commands out and follows the repository, until the handle is gone.
    pub(super) fn run(mut self, inbox: &Receiver<Message>, wake: SyncSender<Message>) {
        let mut watcher = self.repository.clone().map(|repository| RepositoryWatcher::start(repository, wake));
        // before anything is loaded, so that the server is not ready with the first of several models
        if let Some(found) = self.scan() {
            self.expect(&found);
            self.warn_of_names_that_are_not(&found);
        }
        while !self.is_ending() {
            // the repository as it is at first, after the commands that wait already
            let message = match watcher.as_ref().map(RepositoryWatcher::due_in) {
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => inbox.recv_timeout(due),
            };
            match message {
                _ if self.is_ending() => return,
                Ok(Message::Command(command, reply)) => {
                    let _ = reply.send(self.carry_out(command));
                }
                Ok(Message::Wake) => {}
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(watcher) = &mut watcher {
                        watcher.followed();
                    }
                    self.follow_repository();
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Tables and labels of what is not there may be typing errors.
    fn warn_of_names_that_are_not(&self, found: &Found) {
        for (name, options) in &self.overrides {
            if self.sources.contains_key(name) {
                continue;
            }
            match found.get(name) {
                None => tracing::warn!(
                    model = name,
                    "the configuration has a table of a model that is not in the repository"
                ),
                Some(Ok(versions)) => {
                    for (label, version) in options.labels.iter().filter(|(_, version)| !versions.contains_key(version))
                    {
                        tracing::warn!(
                            model = name,
                            label,
                            version,
                            "the label is of a version that is not in the repository"
                        );
                    }
                }
                Some(Err(_)) => {}
            }
        }
    }

    fn carry_out(&mut self, command: Command) -> Result<(), ModelError> {
        match command {
            Command::Load(name) => self.load_wanted(&name, false),
            Command::Reload(name) => self.load_wanted(&name, true),
            Command::Unload(name) => {
                if !self.registry.names().contains(&name) {
                    return Err(ModelError::Unknown(name));
                }
                self.unloaded.insert(name.clone());
                let dropped = self.registry.change(&name, |known| {
                    // what was said of it is over, but its versions stay known
                    known.error = None;
                    known.metrics = None;
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
    fn load_wanted(&mut self, name: &str, anew: bool) -> Result<(), ModelError> {
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
            errors.push(options.none_wanted(&available.keys().copied().collect::<Vec<_>>()));
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
        if check_name(name).is_err() || !folder.is_dir() {
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
        let metrics = self.loader.metrics.model(name);
        self.registry.change(name, |known| known.metrics = Some(metrics));
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
        let error = wanted.is_empty().then(|| options.none_wanted(&available));
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

/// A version that can be opened.
enum Available {
    Configured(ModelSource),
    Stored(Stored),
}

impl Available {
    fn open(&self) -> Result<Checkpoint, CheckpointError> {
        match self {
            Self::Configured(source) => source(),
            Self::Stored(stored) => checkpoint::open(&stored.folder),
        }
    }
}
