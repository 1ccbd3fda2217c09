//! timm's evaluation transform. The authority is `timm/data/transforms_factory.py`, `transforms_imagenet_eval`.

use super::{Preprocessing, SIDE_LIMIT, crop_pct, deviations, is_side};
use crate::checkpoint::CheckpointError;
use crate::checkpoint::config::Section;
use crate::pixels::{CropRounding, Filter, Fit, Transform};
use crate::program::InputSpec;

/// The transform of the training resolution, as `resolve_input_data_config` gives it by default: `test_input_size` is not read. Images for a
/// network of one channel become grey first, as timm's scripts make them.
///
/// # Errors
/// [`CheckpointError::Config`] for what the transform cannot follow.
pub(in super::super) fn timm(config: Section<'_>, one_channel: bool) -> Result<Preprocessing, CheckpointError> {
    let (height, width) = match config.integers("input_size")?.as_deref() {
        None => (224, 224),
        Some([1 | 3, height, width]) if is_side(*height) && is_side(*width) => (*height, *width),
        Some(_) => {
            return Err(config.invalid("input_size", &format!("[3, height, width] up to {SIDE_LIMIT} is needed")));
        }
    };
    let filter = match config.text("interpolation")? {
        None | Some("bicubic") => Filter::Bicubic,
        Some("bilinear") => Filter::Bilinear,
        Some("nearest") => Filter::Nearest,
        Some("box") => Filter::Box,
        Some("hamming") => Filter::Hamming,
        Some("lanczos") => Filter::Lanczos,
        Some(_) => {
            let possible = "bicubic, bilinear, nearest, box, hamming and lanczos are supported";
            return Err(config.invalid("interpolation", possible));
        }
    };
    let averaged = |values: [f32; 3]| if one_channel { [values.iter().sum::<f32>() / 3.0; 3] } else { values };
    let mean = config.channels_of("mean", one_channel)?.unwrap_or_else(|| averaged(InputSpec::IMAGENET_MEAN));
    let std = deviations(config, "std", config.channels_of("std", one_channel)?)?;
    let std = std.unwrap_or_else(|| averaged(InputSpec::IMAGENET_STD));
    let crop = crop_pct(config)?.unwrap_or(0.875);
    let [rows, columns] = [height, width].map(|side| ((side as f64 / crop).floor() as usize).max(1));
    let mut fill = [0; 3];
    let fit = match config.text("crop_mode")? {
        None | Some("center") if rows == columns => Fit::ShortestEdge(rows),
        None | Some("center") => Fit::Around(rows, columns),
        Some("squash") => Fit::Exact(rows, columns),
        Some("border") => {
            // `as` keeps to 0 to 255
            fill = mean.map(|mean| (255.0 * f64::from(mean)).round_ties_even() as u8);
            Fit::Within(rows, columns)
        }
        Some(_) => return Err(config.invalid("crop_mode", "center, squash and border are supported")),
    };
    let input = InputSpec { height, width, mean, std };
    let rounding = CropRounding::HalfToEven;
    Ok(Preprocessing { input, transform: Transform { height, width, fit, rounding, filter, fill, grey: one_channel } })
}
