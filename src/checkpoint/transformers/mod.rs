//! transformers' format: `config.json` of a class for image classification, with `preprocessor_config.json`. Not here: what its
//! fields mean (`convnext`, `swin`), its tensors' names (`names`), its processor (`preprocessing`).

mod convnext;
mod swin;

use super::config::Section;
use super::files::Files;
use super::preprocessing::Processor;
use super::{CheckpointError, Description, labels, preprocessing};
use crate::model::Spec;
use crate::program::Function;

const PREPROCESSOR: &str = "preprocessor_config.json";

/// Most stages; the published have four.
const STAGE_LIMIT: usize = 8;

/// What the configuration describes.
///
/// # Errors
/// [`CheckpointError::Config`] for what is not supported, [`CheckpointError::NotFound`] without `preprocessor_config.json`:
/// ImageNet's normalisation would often be right, and quietly wrong otherwise.
pub(super) fn describe(config: Section<'_>, files: Files<'_>) -> Result<Description, CheckpointError> {
    let class = config.get("architectures").and_then(|list| list.get(0)).and_then(|class| class.as_str());
    let (spec, naming) = match class {
        Some("ConvNextForImageClassification") => convnext::describe(config, "convnext", false)?,
        Some("ConvNextV2ForImageClassification") => convnext::describe(config, "convnextv2", true)?,
        Some("SwinForImageClassification") => swin::describe(config)?,
        _ => {
            let possible = "ConvNextForImageClassification, ConvNextV2ForImageClassification and \
                            SwinForImageClassification are supported";
            return Err(config.invalid("architectures", possible));
        }
    };
    let (Spec::ConvNext(crate::model::convnext::Spec { classes, .. })
    | Spec::Swin(crate::model::swin::Spec { classes, .. })) = &spec;
    let unnamed = || (0..*classes).map(labels::transformers).collect();
    let labels = labels::named(config, "id2label", *classes, labels::transformers)?.or_else(|| Some(unnamed()));
    let path = files.path(PREPROCESSOR);
    let Some(preprocessor) = files.json(PREPROCESSOR)? else {
        let why = "it says how images are resized and normalised; save the model's image processor beside it, as \
                   AutoImageProcessor.from_pretrained(…).save_pretrained(…) does";
        return Err(CheckpointError::NotFound { path, why: why.to_owned() });
    };
    let own = match spec {
        Spec::ConvNext(_) => Processor::ConvNext,
        Spec::Swin(_) => Processor::Vit,
    };
    let preprocessing = preprocessing::transformers(Section::new(&path, &preprocessor)?, own)?;
    if let Spec::Swin(crate::model::swin::Spec { positions: true, patch, .. }) = spec {
        swin::check_positions(config, patch, &preprocessing.input)?;
    }
    Ok(Description { spec, naming, preprocessing, labels })
}

/// Refuses what no architecture is supported with: images of other than three channels.
fn check_common(config: Section<'_>) -> Result<(), CheckpointError> {
    if config.integer("num_channels")?.is_some_and(|channels| channels != 3) {
        let why = "transformers' own processor makes three channels of every image, which such a network refuses; only 3 is \
                   supported: give the patch embedding three channels, each a third of its weight";
        return Err(config.invalid("num_channels", why));
    }
    Ok(())
}

/// The function of `hidden_act` where it is not GELU.
fn function(config: Section<'_>) -> Result<Option<Function>, CheckpointError> {
    match config.text("hidden_act")? {
        None | Some("gelu" | "gelu_python") => Ok(None),
        Some("gelu_new" | "gelu_pytorch_tanh" | "gelu_python_tanh") => Ok(Some(Function::GeluTanh)),
        Some("silu" | "swish") => Ok(Some(Function::Silu)),
        Some("relu") => Ok(Some(Function::Relu)),
        Some(_) => {
            let possible =
                "gelu, gelu_python, gelu_new, gelu_pytorch_tanh, gelu_python_tanh, silu, swish and relu are supported";
            Err(config.invalid("hidden_act", possible))
        }
    }
}

/// Blocks of each stage, of which there are not too many.
fn depths(config: Section<'_>, default: [usize; 4]) -> Result<Vec<usize>, CheckpointError> {
    let depths = config.integers("depths")?.unwrap_or_else(|| default.to_vec());
    if !(1..=STAGE_LIMIT).contains(&depths.len()) {
        return Err(config.invalid("depths", &format!("1 to {STAGE_LIMIT} stages are supported")));
    }
    Ok(depths)
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
