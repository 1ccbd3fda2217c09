//! How a model is named on the command line: a demo model, a folder, `NAME=FOLDER`, or an architecture with random weights.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::checkpoint::{self, Checkpoint};
use crate::model::{self, Spec};
use crate::program::{InputSpec, Program, RandomWeights, WeightSource};
use crate::service::NamedModel;

/// Side of the images that the papers' sizes and costs are given for.
const PUBLISHED_SIDE: usize = 224;
/// Where an architecture's weights are from, in words.
const RANDOM: &str = "random weights";
/// Random weights are the same in every run.
const SEED: u64 = 0;

/// A model with its weights, from a checkpoint.
///
/// # Errors
/// When there is no such demo model or folder, or the checkpoint cannot be used.
pub(super) fn named(text: &str) -> anyhow::Result<NamedModel> {
    if checkpoint::demo_names().contains(&text) {
        let checkpoint = checkpoint::demo(text).with_context(|| format!("the demo model {text}"))?;
        return Ok(NamedModel { name: text.to_owned(), checkpoint, baseline: None });
    }
    let (name, folder) = match text.split_once('=') {
        Some((name, folder)) => (name.to_owned(), PathBuf::from(folder)),
        None => (folder_name(Path::new(text))?, PathBuf::from(text)),
    };
    if !folder.is_dir() {
        bail!("model {text:?} is neither a demo model ({}) nor a folder", checkpoint::demo_names().join(", "));
    }
    let checkpoint = checkpoint::open(&folder)?;
    Ok(NamedModel { name, checkpoint, baseline: None })
}

/// Gives each model its baseline: the one that `given` names, each as `MODEL=BASELINE`, or the Swin that is known to be a ConvNeXt's,
/// where it is among the models.
///
/// # Errors
/// When `given` names a model that is not there.
pub(super) fn pair(models: &mut [NamedModel], given: &[String]) -> anyhow::Result<()> {
    let architecture = |model: &NamedModel| model.checkpoint.program.architecture.clone();
    let known: Vec<(String, String)> = models.iter().map(|model| (model.name.clone(), architecture(model))).collect();
    for model in models.iter_mut() {
        let of = architecture(model);
        let baseline = known.iter().find(|(_, name)| model::is_baseline(name, &of));
        model.baseline = baseline.map(|(name, _)| name.clone());
    }
    for text in given {
        let (name, baseline) = text
            .split_once('=')
            .filter(|(name, baseline)| name != baseline)
            .with_context(|| format!("baseline {text:?}: two models are needed, as MODEL=BASELINE"))?;
        if let Some(missing) = [name, baseline].iter().find(|name| known.iter().all(|(known, _)| known != *name)) {
            let served: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
            bail!("baseline {text:?}: no model {missing} is served; there are {}", served.join(", "));
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
    pub(super) weights: Box<dyn WeightSource + Send>,
    /// Where it is from, in words.
    pub(super) origin: String,
}

impl Network {
    /// Whether it is an architecture as published, at the size of the published figures.
    pub(super) fn is_published(&self) -> bool {
        let input = self.program.input;
        self.origin == RANDOM && (input.height, input.width) == (PUBLISHED_SIDE, PUBLISHED_SIDE)
    }

    fn of(checkpoint: Checkpoint) -> Self {
        let Checkpoint { program, weights, origin, .. } = checkpoint;
        Self { program, weights, origin }
    }
}

fn is_checkpoint(text: &str) -> bool {
    checkpoint::demo_names().contains(&text) || text.contains('=') || Path::new(text).is_dir()
}

/// A checkpoint's network; or, where `text` names no checkpoint or a `side` is given, an architecture's, for images of that side.
pub(super) fn network(text: &str, side: Option<usize>) -> anyhow::Result<Network> {
    match (is_checkpoint(text), side) {
        (true, None) => Ok(Network::of(named(text)?.checkpoint)),
        (_, side) => {
            let spec =
                Spec::published(text).with_context(|| format!("{text:?} is no demo model and no folder either"))?;
            let side = side.unwrap_or(PUBLISHED_SIDE);
            if !(1..=8192).contains(&side) {
                bail!("images of side {side}: 1 to 8192 pixels are possible");
            }
            let program = spec.program(InputSpec::imagenet(side))?;
            let weights = Box::new(RandomWeights::new(&program, SEED));
            Ok(Network { program, weights, origin: RANDOM.to_owned() })
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
        let NamedModel { name, checkpoint, .. } = named(text)?;
        return Ok((name, Network::of(checkpoint)));
    }
    Ok((text.to_owned(), network(text, side.or(Some(PUBLISHED_SIDE)))?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// The baselines of the demo models under other names, after `given`.
    fn baselines(given: &[&str]) -> Vec<Option<String>> {
        let mut models: Vec<NamedModel> = ["convnext_atto", "swin_atto"].map(|name| named(name).unwrap()).into();
        models[0].name = "ours".to_owned();
        pair(&mut models, &given.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).unwrap();
        models.into_iter().map(|model| model.baseline).collect()
    }

    #[test]
    fn a_convnext_has_its_swin_unless_another_is_given() {
        assert_eq!(baselines(&[]), [Some("swin_atto".to_owned()), None]);
        assert_eq!(baselines(&["swin_atto=ours"]), [Some("swin_atto".to_owned()), Some("ours".to_owned())]);
    }
}
