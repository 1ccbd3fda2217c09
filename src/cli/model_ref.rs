//! How a model is named on the command line: a demo model, a folder, one of the Hugging Face hub, `NAME=` before either, or an architecture with
//! random weights.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};

use super::Failure;
use super::progress::Telling;
use crate::checkpoint::{self, Checkpoint, CheckpointError, Source};
use crate::hub::{self, HubError, Reference, Settings, Snapshot};
use crate::model::Spec;
use crate::program::{InputSpec, Program, RandomWeights, WeightSource};
use crate::service::NamedModel;

/// Side of the images that the papers' sizes and costs are given for.
const PUBLISHED_SIDE: usize = 224;
/// Where an architecture's weights are from, in words.
const RANDOM: &str = "random weights";
/// Random weights are the same in every run.
const SEED: u64 = 0;

/// What the names of the hub's models begin with.
const HUB: &str = "hub:";

/// Where a model is.
enum Place {
    Here(Source),
    Hub(Reference),
}

impl Place {
    /// Opens the checkpoint; one of the hub from its cache, into which it is fetched if it is not there.
    fn open(&self, telling: Telling) -> Result<Checkpoint, CheckpointError> {
        let reference = match self {
            Self::Here(source) => return source.open(),
            Self::Hub(reference) => reference,
        };
        let snapshot = fetched(reference, telling).map_err(|error| CheckpointError::Fetch(error.to_string()))?;
        let origin = format!("{HUB}{reference}, commit {}", snapshot.commit);
        Ok(Checkpoint { origin, ..Source::Folder(snapshot.folder).open()? })
    }
}

/// A model of the hub in its cache, into which it is fetched if it is not there.
fn fetched(reference: &Reference, telling: Telling) -> Result<Snapshot, HubError> {
    let settings = Settings::from_environment()?;
    telling.of(reference, |observer| hub::cached_or_pulled(reference, &settings, observer))
}

/// A model's name and where its checkpoint is.
fn checkpoint_of(text: &str) -> anyhow::Result<(String, Place)> {
    if let Some(name) = checkpoint::demo_names().iter().find(|name| **name == text) {
        return Ok((text.to_owned(), Place::Here(Source::BuiltIn(name))));
    }
    let (name, place) = match text.split_once('=') {
        Some((name, place)) if !text.starts_with(HUB) => (Some(name), place),
        _ => (None, text),
    };
    if place.starts_with(HUB) {
        let reference: Reference = place.parse()?;
        return Ok((name.unwrap_or(&reference.name).to_owned(), Place::Hub(reference)));
    }
    let folder = PathBuf::from(place);
    let name = name.map_or_else(|| folder_name(&folder), |name| Ok(name.to_owned()))?;
    if !folder.is_dir() {
        let demo = checkpoint::demo_names().join(", ");
        bail!("model {text:?} is neither a demo model ({demo}) nor a folder, nor {HUB}ORGANISATION/NAME");
    }
    Ok((name, Place::Here(Source::Folder(folder))))
}

/// A model to serve, which is opened when it is loaded, and fetched then where it is the hub's.
///
/// # Errors
/// When there is no such demo model or folder, and there can be none of that name on the hub.
pub(super) fn named(text: &str, telling: Telling) -> anyhow::Result<NamedModel> {
    let (name, place) = checkpoint_of(text)?;
    Ok(NamedModel { name, source: Arc::new(move || place.open(telling)), baseline: None })
}

/// A model to use at once: one of the hub is fetched now, so that its bars are not drawn through those of loading.
///
/// # Errors
/// As [`named`], and where it cannot be fetched.
pub(super) fn named_and_fetched(text: &str) -> Result<NamedModel, Failure> {
    if let (_, Place::Hub(reference)) = checkpoint_of(text).map_err(Failure::Usage)? {
        fetched(&reference, Telling::Person).map_err(anyhow::Error::from)?;
    }
    named(text, Telling::Person).map_err(Failure::Usage)
}

/// A checkpoint's name and the files it is of; one of the hub is fetched.
///
/// # Errors
/// As [`named_and_fetched`].
pub(super) fn source(text: &str) -> Result<(String, Source), Failure> {
    match checkpoint_of(text).map_err(Failure::Usage)? {
        (name, Place::Here(source)) => Ok((name, source)),
        (name, Place::Hub(reference)) => {
            let snapshot = fetched(&reference, Telling::Person).map_err(anyhow::Error::from)?;
            Ok((name, Source::Folder(snapshot.folder)))
        }
    }
}

/// Gives models the baselines of `given`, each as `MODEL=BASELINE`. Where `more` models may come, a baseline may be one of those.
///
/// # Errors
/// When `given` names a model that is not there, or names two for one.
pub(super) fn give_baselines(models: &mut [NamedModel], given: &[String], more: bool) -> anyhow::Result<()> {
    let known: Vec<String> = models.iter().map(|model| model.name.clone()).collect();
    for text in given {
        let (name, baseline) = text
            .split_once('=')
            .filter(|(name, baseline)| name != baseline)
            .with_context(|| format!("baseline {text:?}: two models are needed, as MODEL=BASELINE"))?;
        let needed: &[&str] = if more { &[name] } else { &[name, baseline] };
        if let Some(missing) = needed.iter().find(|name| known.iter().all(|known| known != *name)) {
            bail!("baseline {text:?}: no model {missing} is served; there are {}", known.join(", "));
        }
        if given.iter().filter_map(|text| text.split_once('=')).filter(|(other, _)| *other == name).count() > 1 {
            bail!("baseline {text:?}: {name} has two");
        }
        for model in models.iter_mut().filter(|model| model.name == name) {
            model.baseline = Some(baseline.to_owned());
        }
    }
    Ok(())
}

/// The last part of a path, with which a model is named that got no other name.
fn folder_name(folder: &Path) -> anyhow::Result<String> {
    let absolute = std::path::absolute(folder).with_context(|| format!("model {}", folder.display()))?;
    let name = absolute.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned).with_context(|| format!("model {}: name it, as NAME={0}", folder.display()))
}

/// A program and weights for it, for commands that need no labels.
pub(super) struct Network {
    pub(super) program: Program,
    pub(super) weights: Box<dyn WeightSource + Send + Sync>,
    /// Where it is from, in words.
    pub(super) origin: String,
    /// As [`Checkpoint::quantized`].
    pub(super) quantized: bool,
}

impl Network {
    /// Whether it is an architecture as published, at the size of the published figures.
    pub(super) fn is_published(&self) -> bool {
        let input = self.program.input;
        self.origin == RANDOM && (input.height, input.width) == (PUBLISHED_SIDE, PUBLISHED_SIDE)
    }

    fn of(checkpoint: Checkpoint) -> Self {
        let Checkpoint { program, weights, origin, quantized, .. } = checkpoint;
        Self { program, weights, origin, quantized }
    }
}

/// A checkpoint's name and network.
fn opened(text: &str) -> anyhow::Result<(String, Network)> {
    let (name, place) = checkpoint_of(text)?;
    let checkpoint = place.open(Telling::Person).with_context(|| format!("model {name}"))?;
    Ok((name, Network::of(checkpoint)))
}

fn is_checkpoint(text: &str) -> bool {
    checkpoint::demo_names().contains(&text) || text.contains('=') || text.starts_with(HUB) || Path::new(text).is_dir()
}

/// A checkpoint's network; or, where `text` names no checkpoint or a `side` is given, an architecture's, for images of that side.
pub(super) fn network(text: &str, side: Option<usize>) -> anyhow::Result<Network> {
    match (is_checkpoint(text), side) {
        (true, None) => Ok(opened(text)?.1),
        (_, side) => {
            let spec =
                Spec::published(text).with_context(|| format!("{text:?} is no demo model and no folder either"))?;
            let side = side.unwrap_or(PUBLISHED_SIDE);
            if !(1..=8192).contains(&side) {
                bail!("images of side {side}: 1 to 8192 pixels are possible");
            }
            let program = spec.program(InputSpec::imagenet(side))?;
            let weights = Box::new(RandomWeights::new(&program, SEED));
            Ok(Network { program, weights, origin: RANDOM.to_owned(), quantized: false })
        }
    }
}

/// What a benchmark measures, with its name: the architecture that was published under the name `text`, even where a demo model
/// has that name too, for figures are compared with those of the published network; a checkpoint's network where there is none.
///
/// # Errors
/// As [`network`]; and for a checkpoint with a `side`, whose images have the size that it was made for.
pub(super) fn benchmarked(text: &str, side: Option<usize>) -> anyhow::Result<(String, Network)> {
    if Spec::published(text).is_err() && is_checkpoint(text) {
        if side.is_some() {
            bail!("model {text:?} is a checkpoint, whose images have a size of their own: --size is for architectures");
        }
        return opened(text);
    }
    Ok((text.to_owned(), network(text, side.or(Some(PUBLISHED_SIDE)))?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_model_of_the_hub_has_its_name_there_or_another() {
        let name = |text: &str| named(text, Telling::Log).map(|model| model.name);
        assert_eq!(name("hub:timm/convnext_tiny.fb_in1k@v1").unwrap(), "convnext_tiny.fb_in1k");
        assert_eq!(name("tiny=hub:timm/convnext_tiny.fb_in1k").unwrap(), "tiny");
        for wrong in ["hub:", "hub:timm", "tiny=hub:timm/..", "hub:a/b@", "timm/convnext_tiny"] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn baselines_are_given_once_and_to_models_that_are_there() {
        let give = |given: &[&str], more| {
            let mut models: Vec<NamedModel> =
                ["convnext_atto", "swin_atto"].map(|name| named(name, Telling::Log).unwrap()).into();
            let given: Vec<String> = given.iter().map(|text| (*text).to_owned()).collect();
            give_baselines(&mut models, &given, more)?;
            anyhow::Ok(models.into_iter().map(|model| model.baseline).collect::<Vec<_>>())
        };
        assert_eq!(give(&[], false).unwrap(), [None, None]);
        let baselines = give(&["swin_atto=convnext_atto"], false).unwrap();
        assert_eq!(baselines, [None, Some("convnext_atto".to_owned())]);
        assert!(give(&["swin_atto=later"], true).is_ok(), "it may come from the repository");
        for wrong in [&["swin_atto"][..], &["a=b"], &["swin_atto=later"], &["swin_atto=swin_atto"]] {
            assert!(give(wrong, false).is_err(), "{wrong:?}");
        }
        assert!(give(&["swin_atto=convnext_atto", "swin_atto=convnext_atto"], false).is_err(), "two for one");
    }
}
