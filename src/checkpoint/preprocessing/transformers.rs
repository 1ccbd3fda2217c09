//! transformers' image processors, each class by its own rules. The authority is `image_processing_*.py` of the model that a class is named after, and
//! `image_processing_backends.py`.

use serde_json::Value;

use super::{Preprocessing, SIDE_LIMIT, crop_pct, deviations, is_side};
use crate::checkpoint::CheckpointError;
use crate::checkpoint::config::Section;
use crate::pixels::{CropRounding, Filter, Fit, Transform};
use crate::program::InputSpec;

/// A class of image processors, by what differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Processor {
    /// Below 384 the shorter edge becomes `size / crop_pct` and the centre is cropped; from 384 on the image is warped to the square.
    ConvNext,
    /// Warps to its size.
    Vit,
    /// Warps, by default bicubic, and crops the centre.
    Deit,
    /// As [`Deit`](Self::Deit), without a crop.
    Beit,
    /// The shorter edge becomes its size, and the centre is cropped.
    Clip,
}

/// The ends of class names: of version 5's two backends, of version 4, and of version 4 before image processors.
const ENDS: [&str; 4] = ["ImageProcessorFast", "ImageProcessorPil", "ImageProcessor", "FeatureExtractor"];

impl Processor {
    /// The class that a file names, or else the model's own.
    fn of(config: Section<'_>, own: Self) -> Result<Self, CheckpointError> {
        let key = if config.has("image_processor_type") { "image_processor_type" } else { "feature_extractor_type" };
        let Some(name) = config.text(key)? else { return Ok(own) };
        match ENDS.iter().find_map(|end| name.strip_suffix(end)) {
            Some("ConvNext") => Ok(Self::ConvNext),
            Some("ViT") => Ok(Self::Vit),
            Some("DeiT") => Ok(Self::Deit),
            Some("Beit") => Ok(Self::Beit),
            Some("CLIP" | "Bit") => Ok(Self::Clip),
            _ => {
                let possible = "ConvNextImageProcessor, ViTImageProcessor, DeiTImageProcessor, BeitImageProcessor, \
                                CLIPImageProcessor and BitImageProcessor are supported";
                Err(config.invalid(key, possible))
            }
        }
    }

    fn filter(self) -> Filter {
        if self == Self::Vit { Filter::Bilinear } else { Filter::Bicubic }
    }

    fn crops(self) -> bool {
        matches!(self, Self::Deit | Self::Clip)
    }

    /// Whether a size that is one number is that of a square, not of the shorter edge.
    fn square(self) -> bool {
        !matches!(self, Self::ConvNext | Self::Clip)
    }
}

/// What `size` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    ShortestEdge(usize),
    Exact(usize, usize),
}

/// What a processor does with an image, whose own class is `own` where the file names none. The layouts of version 4 (`feature_extractor_type`, `size` a
/// number) and 5 are read.
///
/// # Errors
/// [`CheckpointError::Config`] for what the transform cannot follow, and for what the class itself refuses.
pub(in super::super) fn transformers(config: Section<'_>, own: Processor) -> Result<Preprocessing, CheckpointError> {
    let processor = Processor::of(config, own)?;
    if config.flag("do_pad")? == Some(true) {
        return Err(config.invalid("do_pad", "only false is supported"));
    }
    // Pillow's numbers
    let filter = match config.integer("resample")? {
        None => processor.filter(),
        Some(0) => Filter::Nearest,
        Some(1) => Filter::Lanczos,
        Some(2) => Filter::Bilinear,
        Some(3) => Filter::Bicubic,
        Some(4) => Filter::Box,
        Some(5) => Filter::Hamming,
        Some(_) => return Err(config.invalid("resample", "0 to 5, Pillow's numbers of filters, are supported")),
    };
    let crop = match config.flag("do_center_crop")?.unwrap_or(processor.crops()) {
        true => Some(crop_size(config)?),
        false => None,
    };
    let (fit, [height, width]) = match (processor, crop) {
        (Processor::ConvNext, Some(_)) => {
            return Err(
                config.invalid("do_center_crop", "ConvNext's processor crops by crop_pct; only false is supported")
            );
        }
        (Processor::ConvNext, None) => convnext(config)?,
        (_, Some(crop)) => (resized(config, processor)?, crop),
        (_, None) => match resized(config, processor)? {
            Fit::Exact(height, width) => (Fit::Exact(height, width), [height, width]),
            _ => {
                let possible = "with this the input is as long as the image; set do_center_crop and crop_size, or \
                                {\"height\": h, \"width\": w}";
                return Err(config.invalid(if config.has("size") { "size" } else { "do_resize" }, possible));
            }
        },
    };
    let (mean, std) = normalisation(config)?;
    let input = InputSpec { height, width, mean, std };
    let rounding = CropRounding::Down;
    Ok(Preprocessing {
        input,
        transform: Transform { height, width, fit, rounding, filter, fill: [0; 3], grey: false },
    })
}

/// ConvNeXt's own resize and crop.
fn convnext(config: Section<'_>) -> Result<(Fit, [usize; 2]), CheckpointError> {
    if config.flag("do_resize")? == Some(false) {
        return Err(config.invalid("do_resize", "with this the input is as large as the image; only true is supported"));
    }
    let Size::ShortestEdge(edge) = size(config, Processor::ConvNext)? else {
        let possible = "ConvNextImageProcessor refuses a height and a width; {\"shortest_edge\": n} is needed";
        return Err(config.invalid("size", possible));
    };
    let fit = if edge >= 384 {
        Fit::Exact(edge, edge)
    } else {
        Fit::ShortestEdge(((edge as f64 / crop_pct(config)?.unwrap_or(224.0 / 256.0)) as usize).max(1))
    };
    Ok((fit, [edge, edge]))
}

/// What other classes do before the crop.
fn resized(config: Section<'_>, processor: Processor) -> Result<Fit, CheckpointError> {
    if config.flag("do_resize")? == Some(false) {
        return Ok(Fit::Keep);
    }
    Ok(match size(config, processor)? {
        Size::ShortestEdge(edge) => Fit::ShortestEdge(edge),
        Size::Exact(height, width) => Fit::Exact(height, width),
    })
}

fn size(config: Section<'_>, processor: Processor) -> Result<Size, CheckpointError> {
    let possible =
        format!("a number, {{\"shortest_edge\": n}} or {{\"height\": h, \"width\": w}} up to {SIDE_LIMIT} is needed");
    let invalid = || config.invalid("size", &possible);
    let value = config.get("size").ok_or_else(invalid)?;
    let has = |key: &str| value.get(key).is_some_and(|value| !value.is_null());
    let of = |key: &str| value.get(key).and_then(side);
    let size = match value {
        Value::Number(_) if processor.square() => side(value).map(|side| Size::Exact(side, side)),
        Value::Number(_) => side(value).map(Size::ShortestEdge),
        Value::Array(sides) if sides.len() == 2 => sides[0].as_u64().and_then(|_| {
            let (height, width) = (side(&sides[0])?, side(&sides[1])?);
            Some(Size::Exact(height, width))
        }),
        Value::Object(_) if has("longest_edge") || has("max_height") || has("max_width") => None,
        Value::Object(_) if has("shortest_edge") && !has("height") && !has("width") => {
            of("shortest_edge").map(Size::ShortestEdge)
        }
        Value::Object(_) if !has("shortest_edge") => {
            of("height").zip(of("width")).map(|(height, width)| Size::Exact(height, width))
        }
        _ => None,
    };
    size.ok_or_else(invalid)
}

/// Rows and columns of the crop.
fn crop_size(config: Section<'_>) -> Result<[usize; 2], CheckpointError> {
    let possible = format!("a number or {{\"height\": h, \"width\": w}} up to {SIDE_LIMIT} is needed");
    let of = |value: &Value, key: &str| value.get(key).and_then(side);
    let size = config.get("crop_size").and_then(|value| match value {
        Value::Number(_) => side(value).map(|side| [side, side]),
        Value::Object(_) => of(value, "height").zip(of(value, "width")).map(|(height, width)| [height, width]),
        _ => None,
    });
    size.ok_or_else(|| config.invalid("crop_size", &possible))
}

fn side(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|number| usize::try_from(number).ok()).filter(|pixels| is_side(*pixels))
}

/// Mean and standard deviation in units of white: `(pixel · rescale_factor − mean) / std`, without what is switched off.
fn normalisation(config: Section<'_>) -> Result<([f32; 3], [f32; 3]), CheckpointError> {
    // 1 for bytes that become 0 to 1
    let white = match (config.flag("do_rescale")?, config.positive("rescale_factor")?) {
        (Some(false), _) => 255.0,
        (_, None) => 1.0,
        (_, Some(factor)) => factor * 255.0,
    };
    // what is meant as 1/255 is exactly that
    let white = if (white - 1.0_f64).abs() < 1e-6 { 1.0 } else { white };
    if !(1e-6..=1e6).contains(&white) {
        return Err(config.invalid("rescale_factor", "a number near 1/255, or near 1, is needed"));
    }
    let (mean, std) = match config.flag("do_normalize")? {
        Some(false) => ([0.0; 3], [1.0; 3]),
        // required, for the default was ImageNet's in early releases and a half in later ones
        _ => (
            config.channels("image_mean")?.ok_or_else(|| config.invalid("image_mean", "three numbers are needed"))?,
            deviations(config, "image_std", config.channels("image_std")?)?
                .ok_or_else(|| config.invalid("image_std", "three numbers are needed"))?,
        ),
    };
    let scaled = |values: [f32; 3]| values.map(|value| (f64::from(value) / white) as f32);
    Ok((scaled(mean), scaled(std)))
}
