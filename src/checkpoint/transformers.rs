//! transformers' format: `config.json` of `ConvNextForImageClassification` or its V2, with `preprocessor_config.json`. The
//! authority is `transformers/models/convnext/`. Not here: its tensors' names (`names`), its processor (`preprocessing`).

use super::config::Section;
use super::files::Files;
use super::names::Naming;
use super::{CheckpointError, Description, labels, preprocessing};
use crate::model;
use crate::model::convnext::Spec;

const PREPROCESSOR: &str = "preprocessor_config.json";

/// Most stages; the published have four.
const STAGE_LIMIT: usize = 8;

/// What the configuration describes.
///
/// # Errors
/// [`CheckpointError::Config`] for what is not supported, [`CheckpointError::NotFound`] without `preprocessor_config.json`:
/// ImageNet's normalisation would often be right, and quietly wrong otherwise.
pub(super) fn describe(config: Section<'_>, files: Files<'_>) -> Result<Description, CheckpointError> {
    let (spec, prefix) = spec(config)?;
    let labels = labels::named(config, "id2label", spec.classes)?;
    let path = files.path(PREPROCESSOR);
    let Some(preprocessor) = files.json(PREPROCESSOR)? else {
        let why = "it says how images are resized and normalised; save the model's image processor beside it, as \
                   AutoImageProcessor.from_pretrained(…).save_pretrained(…) does";
        return Err(CheckpointError::NotFound { path, why: why.to_owned() });
    };
    Ok(Description {
        naming: Naming::Transformers { prefix },
        preprocessing: preprocessing::transformers(Section::new(&path, &preprocessor)?)?,
        labels,
        spec: model::Spec::ConvNext(spec),
    })
}

/// The network, and the prefix of its tensors' names. Absent fields have the defaults of `ConvNextConfig`.
fn spec(config: Section<'_>) -> Result<(Spec, &'static str), CheckpointError> {
    let class = config.get("architectures").and_then(|list| list.get(0)).and_then(|class| class.as_str());
    let (prefix, grn) = match class {
        Some("ConvNextForImageClassification") => ("convnext", false),
        Some("ConvNextV2ForImageClassification") => ("convnextv2", true),
        _ => {
            let possible = "ConvNextForImageClassification and ConvNextV2ForImageClassification are supported";
            return Err(config.invalid("architectures", possible));
        }
    };
    config.only("hidden_act", &["gelu"])?;
    if config.integer("num_channels")?.is_some_and(|channels| channels != 3) {
        return Err(config.invalid("num_channels", "only 3 is supported"));
    }
    let depths = config.integers("depths")?.unwrap_or_else(|| vec![3, 3, 9, 3]);
    let widths = config.integers("hidden_sizes")?.unwrap_or_else(|| vec![96, 192, 384, 768]);
    if !(1..=STAGE_LIMIT).contains(&depths.len()) {
        return Err(config.invalid("depths", &format!("1 to {STAGE_LIMIT} stages are supported")));
    }
    if config.integer("num_stages")?.unwrap_or(4) != depths.len() {
        return Err(config.invalid("num_stages", &format!("there are {} depths", depths.len())));
    }
    // absent, or any number above zero, is V1's layer scale; V2 has none
    let layer_scale = !grn && config.get("layer_scale_init_value").is_none_or(|init| init.as_f64() > Some(0.0));
    let spec = Spec {
        name: published(prefix, &depths, &widths),
        kernels: vec![7; depths.len()],
        depths,
        widths,
        classes: classes(config)?,
        patch: config.integer("patch_size")?.unwrap_or(4),
        expansion: 4.0,
        grn,
        layer_scale,
        head_norm_first: false,
        // layer_norm_eps is of the last norm only, the others' is fixed
        eps: 1e-6,
        head_eps: config.epsilon("layer_norm_eps")?.unwrap_or(1e-12),
    };
    Ok((spec, prefix))
}

/// The name of the published architecture with these numbers, or the family's: transformers names no sizes.
fn published(family: &str, depths: &[usize], widths: &[usize]) -> String {
    let specs = model::names().into_iter().filter(|name| name.split_once('_').is_some_and(|(of, _)| of == family));
    let mut same = specs.filter_map(Spec::published).filter(|spec| spec.depths == depths && spec.widths == widths);
    same.next().map_or_else(|| family.to_owned(), |spec| spec.name)
}

/// `num_labels`, which is saved only as the length of `id2label`; two by default, as in transformers.
fn classes(config: Section<'_>) -> Result<usize, CheckpointError> {
    let named = config.get("id2label").and_then(|names| Some(names.as_object()?.len()));
    let classes = config.integer("num_labels")?.or(named).unwrap_or(2);
    if classes == 0 {
        return Err(config.invalid("id2label", "without a classifier there is nothing to serve"));
    }
    Ok(classes)
}
