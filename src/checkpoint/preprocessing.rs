//! How an image becomes a model's input, by each library's own rule. Not here: doing it (`pixels`).

use serde_json::Value;

use super::CheckpointError;
use super::config::Section;
use crate::pixels::{CropRounding, Filter, Fit, Transform};
use crate::program::InputSpec;

/// From the pixels of an image to the numbers that a network reads.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Preprocessing {
    /// Size and normalisation.
    pub(super) input: InputSpec,
    /// Resize and crop.
    pub(super) transform: Transform,
}

/// Longest side of an input, in pixels; so that no later product overflows.
const SIDE_LIMIT: usize = 4096;

/// timm's evaluation transform (`timm.data.transforms_factory.transforms_imagenet_eval`), of the training resolution as
/// `resolve_data_config` gives it by default: `test_input_size` is not read.
///
/// # Errors
/// [`CheckpointError::Config`] for what the transform cannot follow.
pub(super) fn timm(config: Section<'_>) -> Result<Preprocessing, CheckpointError> {
    let (height, width) = match config.integers("input_size")?.as_deref() {
        None => (224, 224),
        Some([3, height, width]) if side(*height) && side(*width) => (*height, *width),
        Some(_) => {
            return Err(config.invalid("input_size", &format!("[3, height, width] up to {SIDE_LIMIT} is needed")));
        }
    };
    let filter = match config.text("interpolation")? {
        None | Some("bicubic") => Filter::Bicubic,
        Some("bilinear") => Filter::Bilinear,
        Some(_) => return Err(config.invalid("interpolation", "bicubic and bilinear are supported")),
    };
    let crop = crop_pct(config)?.unwrap_or(0.875);
    let scaled = [height, width].map(|side| (side as f64 / crop).floor() as usize);
    let fit = match config.text("crop_mode")? {
        None | Some("center") if scaled[0] == scaled[1] => Fit::ShortestEdge(scaled[0]),
        None | Some("center") => {
            return Err(config.invalid("input_size", "with crop_mode center only a square is supported"));
        }
        Some("squash") => Fit::Exact(scaled[0], scaled[1]),
        Some(_) => return Err(config.invalid("crop_mode", "center and squash are supported")),
    };
    let mean = config.channels("mean")?.unwrap_or(InputSpec::IMAGENET_MEAN);
    let std = deviations(config, "std")?.unwrap_or(InputSpec::IMAGENET_STD);
    let input = InputSpec { height, width, mean, std };
    Ok(Preprocessing { input, transform: Transform { height, width, fit, rounding: CropRounding::HalfToEven, filter } })
}

/// transformers' `ConvNextImageProcessor` (and `ViTImageProcessor`, which warps to its size whatever that is).
///
/// ConvNeXt's rule: below 384 the shorter edge becomes size / crop_pct and the centre is cropped; from 384 on the image is
/// warped to the square. The layouts of version 4 (`feature_extractor_type`, `size` a number) and 5 are read.
///
/// # Errors
/// [`CheckpointError::Config`] for what the transform cannot follow.
pub(super) fn transformers(config: Section<'_>) -> Result<Preprocessing, CheckpointError> {
    let vit = is_vit(config)?;
    let always = |key| match config.flag(key)? {
        Some(false) => Err(config.invalid(key, "only true is supported")),
        _ => Ok(()),
    };
    always("do_resize")?;
    always("do_rescale")?;
    for key in ["do_center_crop", "do_pad"] {
        if config.flag(key)? == Some(true) {
            return Err(config.invalid(key, "only false is supported"));
        }
    }
    if config.positive("rescale_factor")?.is_some_and(|factor| (factor * 255.0 - 1.0).abs() > 1e-6) {
        return Err(config.invalid("rescale_factor", "only 1/255 is supported"));
    }
    // Pillow's numbers
    let filter = match config.integer("resample")? {
        Some(2) => Filter::Bilinear,
        Some(3) => Filter::Bicubic,
        None if vit => Filter::Bilinear,
        None => Filter::Bicubic,
        Some(_) => return Err(config.invalid("resample", "2 (bilinear) and 3 (bicubic) are supported")),
    };
    let (height, width, warped) = size(config)?;
    let fit = if warped || vit || height >= 384 {
        Fit::Exact(height, width)
    } else {
        Fit::ShortestEdge((height as f64 / crop_pct(config)?.unwrap_or(224.0 / 256.0)) as usize)
    };
    let (mean, std) = match config.flag("do_normalize")? {
        Some(false) => ([0.0; 3], [1.0; 3]),
        // required, for the default was ImageNet's in early releases and a half in later ones
        _ => (
            config.channels("image_mean")?.ok_or_else(|| config.invalid("image_mean", "three numbers are needed"))?,
            deviations(config, "image_std")?.ok_or_else(|| config.invalid("image_std", "three numbers are needed"))?,
        ),
    };
    let input = InputSpec { height, width, mean, std };
    Ok(Preprocessing { input, transform: Transform { height, width, fit, rounding: CropRounding::Down, filter } })
}

/// Whether the processor is ViT's; without a type it is ConvNeXt's, as the model's own default.
fn is_vit(config: Section<'_>) -> Result<bool, CheckpointError> {
    let key = if config.has("image_processor_type") { "image_processor_type" } else { "feature_extractor_type" };
    match config.text(key)? {
        None => Ok(false),
        Some(name) if name.starts_with("ConvNextImageProcessor") || name == "ConvNextFeatureExtractor" => Ok(false),
        Some(name) if name.starts_with("ViTImageProcessor") || name == "ViTFeatureExtractor" => Ok(true),
        Some(_) => Err(config.invalid(key, "ConvNextImageProcessor and ViTImageProcessor are supported")),
    }
}

/// Height, width, and whether they are to be warped to whatever they are.
fn size(config: Section<'_>) -> Result<(usize, usize, bool), CheckpointError> {
    let possible =
        format!("a number, {{\"shortest_edge\": n}} or {{\"height\": h, \"width\": w}} up to {SIDE_LIMIT} is needed");
    let invalid = || config.invalid("size", &possible);
    let number = |value: &Value| value.as_u64().map(|number| number as usize).filter(|number| side(*number));
    let of = |key: &str| config.get("size").and_then(|size| size.get(key)).and_then(number);
    match config.get("size").ok_or_else(invalid)? {
        value @ Value::Number(_) => number(value).map(|side| (side, side, false)),
        Value::Object(_) => match (of("shortest_edge"), of("height"), of("width")) {
            (Some(edge), None, None) => Some((edge, edge, false)),
            (None, Some(height), Some(width)) => Some((height, width, true)),
            _ => None,
        },
        _ => None,
    }
    .ok_or_else(invalid)
}

fn side(pixels: usize) -> bool {
    (1..=SIDE_LIMIT).contains(&pixels)
}

/// The part of the resized image that the crop keeps. Above one it would need padding; below a twentieth it is a mistake.
fn crop_pct(config: Section<'_>) -> Result<Option<f64>, CheckpointError> {
    match config.positive("crop_pct")? {
        Some(part) if !(0.05..=1.0).contains(&part) => Err(config.invalid("crop_pct", "0.05 to 1 is supported")),
        part => Ok(part),
    }
}

/// Standard deviations, by which pixels are divided.
fn deviations(config: Section<'_>, key: &str) -> Result<Option<[f32; 3]>, CheckpointError> {
    match config.channels(key)? {
        Some(std) if std.iter().any(|std| *std <= 0.0) => Err(config.invalid(key, "numbers above zero are needed")),
        std => Ok(std),
    }
}
