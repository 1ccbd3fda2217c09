//! The models that there are, ready or not, and the commands about them, which clients may give only where the operator allows it.

use super::Error;
use super::names::Target;
use super::parameter::Parameters;
use crate::service::{Classifier, ModelState};

/// A version of a model, under one of its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// One of its names.
    pub name: String,
    /// Empty where no version is known.
    pub version: String,
    /// `READY`, `LOADING` or `UNAVAILABLE`.
    pub state: &'static str,
    /// Why it is not ready; empty where it is.
    pub reason: String,
}

/// All versions of all models under both names; `ready` leaves out those that do not serve.
#[must_use]
pub fn index(classifier: &Classifier, ready: bool) -> Vec<IndexEntry> {
    let mut entries = Vec::new();
    for status in classifier.models() {
        if ready && status.state != ModelState::Ready {
            continue;
        }
        let (state, reason) = match status.state {
            ModelState::Ready => ("READY", String::new()),
            ModelState::Loading => ("LOADING", String::new()),
            ModelState::Failed => ("UNAVAILABLE", status.error.clone().unwrap_or_else(|| "failed".to_owned())),
            ModelState::Unloaded => ("UNAVAILABLE", "unloaded".to_owned()),
        };
        let version = status.version.unwrap_or_default();
        entries.extend(Target::both(classifier, &status.name).into_iter().map(|target| IndexEntry {
            name: target.name,
            version: version.clone(),
            state,
            reason: reason.clone(),
        }));
    }
    entries
}

/// Loads what is not loaded of a model, by either of its names.
///
/// # Errors
/// `Forbidden` unless `allowed`; `Unsupported` for a model that comes with the request; why it could not be loaded.
pub async fn load(classifier: &Classifier, allowed: bool, name: &str, parameters: &Parameters) -> Result<(), Error> {
    may_control(allowed)?;
    if let Some(name) = parameters.0.keys().find(|name| *name == "config" || name.starts_with("file:")) {
        return Err(Error::Unsupported(format!("parameter {name}: models come from the server's own folders only")));
    }
    Ok(classifier.load(&Target::of(classifier, name).model).await?)
}

/// Stops serving a model, under both of its names.
///
/// # Errors
/// `Forbidden` unless `allowed`; `Unknown`.
pub async fn unload(classifier: &Classifier, allowed: bool, name: &str) -> Result<(), Error> {
    may_control(allowed)?;
    Ok(classifier.unload(&Target::of(classifier, name).model).await?)
}

fn may_control(allowed: bool) -> Result<(), Error> {
    let why =
        "clients may not load or unload models here: --allow-model-control is off; the admin port has these commands";
    if allowed { Ok(()) } else { Err(Error::Forbidden(why.to_owned())) }
}
