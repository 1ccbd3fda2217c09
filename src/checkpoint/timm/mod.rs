//! timm's hub format: `config.json` with `architecture`, `num_classes`, `model_args` and `pretrained_cfg`. Not here: what an
//! architecture and its arguments mean (`convnext`, `swin`), its tensors' names (`names`), its transform (`preprocessing`).

mod convnext;
mod swin;

use super::config::Section;
use super::{CheckpointError, Description, labels, preprocessing};
use crate::model::{self, Spec, SpecError};

/// What the configuration describes.
///
/// # Errors
/// [`CheckpointError::Architecture`] for an unknown one, [`CheckpointError::Config`] for what is not supported.
pub(super) fn describe(config: Section<'_>) -> Result<Description, CheckpointError> {
    // older files have the keys of pretrained_cfg at the top
    let pretrained = config.section("pretrained_cfg")?.unwrap_or(config);
    let args = config.section("model_args")?;
    pretrained.only("global_pool", &["avg"])?;

    let Some(full) = config.text("architecture")? else {
        return Err(config.invalid("architecture", "the name of an architecture is needed"));
    };
    let name = untagged(full);
    let described = match name.starts_with("swin") {
        true => swin::describe(config, name, args)?,
        false => convnext::describe(config, name, args)?,
    };
    let Some((mut spec, naming)) = described else {
        let known = [model::names(), convnext::OTHERS.to_vec(), swin::OTHERS.to_vec()].concat();
        let cause = SpecError::Unknown { name: full.to_owned(), known };
        return Err(CheckpointError::Architecture { path: config.path(), cause });
    };
    let (Spec::ConvNext(model::convnext::Spec { classes, .. }) | Spec::Swin(model::swin::Spec { classes, .. })) =
        &mut spec;
    let sections = [args, Some(config), Some(pretrained)].into_iter().flatten();
    if let Some(section) = sections.into_iter().find(|section| section.get("num_classes").is_some()) {
        *classes = section
            .integer("num_classes")?
            .filter(|classes| *classes > 0)
            .ok_or_else(|| section.invalid("num_classes", "without a classifier there is nothing to serve"))?;
    }
    let labels = labels(config, pretrained, *classes)?;
    let one_channel = one_channel(args, pretrained)?;
    match &mut spec {
        Spec::ConvNext(spec) => spec.one_channel = one_channel,
        Spec::Swin(spec) => spec.one_channel = one_channel,
    }
    let preprocessing = preprocessing::timm(pretrained, one_channel)?;
    if let Spec::Swin(_) = spec {
        swin::check_image(args, pretrained, &preprocessing.input)?;
    }
    Ok(Description { spec, naming, preprocessing, labels })
}

/// Whether images have one channel: as `in_chans` says, or else the first number of `input_size`.
fn one_channel(args: Option<Section<'_>>, pretrained: Section<'_>) -> Result<bool, CheckpointError> {
    let size = pretrained.integers("input_size")?;
    let (section, key, channels) = match args.filter(|args| args.get("in_chans").is_some()) {
        Some(args) => (args, "in_chans", args.integer("in_chans")?),
        None => (pretrained, "input_size", size.and_then(|size| size.first().copied())),
    };
    match channels {
        Some(1) => Ok(true),
        None | Some(3) => Ok(false),
        Some(_) => Err(section.invalid(key, "1 and 3 channels are supported: images are grey or RGB")),
    }
}

/// A name without what names its weights: in `convnext_tiny.fb_in1k` the tag; before there were tags, a suffix.
fn untagged(full: &str) -> &str {
    let name = full.split_once('.').map_or(full, |(name, _)| name);
    let legacy = ["_384_in22ft1k", "_in22ft1k", "_in22k"];
    legacy.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

/// The names that the configuration gives, or ImageNet's where there are as many classes as one of its sets has.
fn labels(
    config: Section<'_>,
    pretrained: Section<'_>,
    classes: usize,
) -> Result<Option<Vec<String>>, CheckpointError> {
    // `labels` is the older name of the field
    for (section, key) in
        [(config, "label_names"), (pretrained, "label_names"), (config, "labels"), (pretrained, "labels")]
    {
        if let Some(names) = labels::named(section, key, classes, labels::class)? {
            return labels::described(section, "label_descriptions", names).map(Some);
        }
    }
    Ok(labels::imagenet(classes))
}
