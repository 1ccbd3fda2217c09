//! Swin as timm's entry points and `model_args` make it. The authority is `timm/models/swin_transformer.py`. Not here: ConvNeXt,
//! and what configurations of all architectures say.

use serde_json::Value;

use super::super::CheckpointError;
use super::super::config::Section;
use super::super::names::Naming;
use crate::model;
use crate::model::swin::Spec;
use crate::program::InputSpec;

/// timm's names of the published sizes.
pub(super) const OTHERS: &[&str] = &[
    "swin_tiny_patch4_window7_224",
    "swin_small_patch4_window7_224",
    "swin_base_patch4_window7_224",
    "swin_base_patch4_window12_384",
    "swin_large_patch4_window7_224",
    "swin_large_patch4_window12_384",
];

/// The image that the network is made for when nothing says another.
const IMAGE: [usize; 2] = [224, 224];

/// The architecture of this name with its arguments; `None` if there is none.
pub(super) fn describe(
    config: Section<'_>,
    name: &str,
    args: Option<Section<'_>>,
) -> Result<Option<(model::Spec, Naming)>, CheckpointError> {
    if name.starts_with("swinv2") {
        let why = "version 2 of Swin is another network: its norms and its attention differ; this is not supported";
        return Err(config.invalid("architecture", why));
    }
    let Some(mut spec) = Spec::published(name) else { return Ok(None) };
    if let Some(args) = args {
        override_with(&mut spec, args)?;
    }
    Ok(Some((model::Spec::Swin(spec), Naming::TimmSwin { merges_last: false })))
}

/// Follows `model_args`, the arguments of timm's `SwinTransformer`, each as its constructor takes it.
fn override_with(spec: &mut Spec, args: Section<'_>) -> Result<(), CheckpointError> {
    // before the others, for all have something for each stage
    spec.depths = args.integers("depths")?.unwrap_or_else(|| spec.depths.clone());
    let stages = spec.depths.len();
    spec.widths = doubled(args.integer("embed_dim")?.unwrap_or(spec.widths[0]), stages);
    spec.windows = match windows(args, stages)? {
        Some(windows) => windows,
        None if spec.windows.iter().all(|window| *window == spec.windows[0]) => vec![spec.windows[0]; stages],
        None if stages == spec.windows.len() => spec.windows.clone(),
        None => return Err(args.invalid("depths", "the architecture has windows for four stages; say window_size too")),
    };
    for (key, value) in args.entries() {
        match key {
            "num_heads" => spec.heads = args.integers(key)?.unwrap_or_else(|| spec.heads.clone()),
            "patch_size" => spec.patch = args.integer(key)?.unwrap_or(spec.patch),
            "mlp_ratio" => spec.expansion = args.positive(key)?.unwrap_or(spec.expansion),
            "qkv_bias" => spec.qkv_bias = args.flag(key)?.unwrap_or(false),
            "always_partition" if args.flag(key)? == Some(true) => {
                return Err(args.invalid(key, "only false is supported"));
            }
            "embed_layer" | "norm_layer" if !value.is_null() => {
                return Err(args.invalid(key, "only null is supported"));
            }
            "global_pool" => args.only(key, &["avg"])?,
            // read elsewhere; of training only; or of images of other sizes than the network is made for
            "in_chans" | "always_partition" | "embed_layer" | "norm_layer" | "depths" | "embed_dim" | "window_size"
            | "head_dim" | "num_classes" | "img_size" | "drop_rate" | "proj_drop_rate" | "attn_drop_rate"
            | "drop_path_rate" | "weight_init" | "strict_img_size" | "dynamic_img_size" => {}
            _ => return Err(args.invalid(key, "this argument is not known, and might change the network")),
        }
    }
    check_head_dim(spec, args)
}

/// The widths of stages of which each is twice as wide as the one before. What overflows is refused with the specification.
fn doubled(width: usize, stages: usize) -> Vec<usize> {
    std::iter::successors(Some(width), |width| Some(width.saturating_mul(2))).take(stages).collect()
}

/// The windows of each stage, as `resolve_stage_window_sizes` reads them: a number, or two for height and width, of all stages;
/// or a list of the same, one for each.
fn windows(args: Section<'_>, stages: usize) -> Result<Option<Vec<[usize; 2]>>, CheckpointError> {
    let side = |value: &Value| value.as_u64().and_then(|side| usize::try_from(side).ok());
    let window = |value: &Value| match value.as_array().map(Vec::as_slice) {
        None => side(value).map(|side| [side; 2]),
        Some([height, width]) => Some([side(height)?, side(width)?]),
        Some(_) => None,
    };
    let Some(value) = args.get("window_size") else { return Ok(None) };
    let windows = match value.as_array().map(Vec::as_slice) {
        // two numbers are one window even of a network of two stages
        None | Some([Value::Number(_), _]) => window(value).map(|window| vec![window; stages]),
        Some(list) => list.iter().map(window).collect::<Option<Vec<_>>>().filter(|windows| windows.len() == stages),
    };
    let possible = "a number is needed, [height, width], or a list of the same for each stage";
    windows.map(Some).ok_or_else(|| args.invalid("window_size", possible))
}

/// Heads of another dimension than the width's share would make attention of another width.
fn check_head_dim(spec: &Spec, args: Section<'_>) -> Result<(), CheckpointError> {
    let shares = spec.widths.iter().zip(&spec.heads).map(|(width, heads)| width / heads.max(&1));
    let natural: Vec<usize> = shares.collect();
    let natural = match args.get("head_dim") {
        Some(Value::Array(_)) => args.integers("head_dim")?.is_none_or(|dims| dims == natural),
        // timm takes zero as it takes null
        _ => args.integer("head_dim")?.is_none_or(|dim| dim == 0 || natural.iter().all(|natural| *natural == dim)),
    };
    if natural { Ok(()) } else { Err(args.invalid("head_dim", "only null is supported: the width over num_heads")) }
}

/// Holds the size of images against the one that timm makes the network for, on which windows and shifts depend: `img_size`,
/// else the input's own where that is fixed (`build_model_with_cfg`), else 224.
pub(super) fn check_image(
    args: Option<Section<'_>>,
    pretrained: Section<'_>,
    input: &InputSpec,
) -> Result<(), CheckpointError> {
    let size = [input.height, input.width];
    let image = args.and_then(|args| Some((args, args.get("img_size")?)));
    if let Some((args, image)) = image {
        let given = match image {
            Value::Array(_) => args.integers("img_size")?,
            _ => args.integer("img_size")?.map(|side| vec![side; 2]),
        };
        if given.is_none_or(|given| given != size) {
            let possible = format!("images become {}×{}, and only an equal size is supported", size[0], size[1]);
            return Err(args.invalid("img_size", &possible));
        }
    } else if pretrained.flag("fixed_input_size")? != Some(true) && size != IMAGE {
        let possible = "the network is one for 224×224 without model_args.img_size or fixed_input_size";
        return Err(pretrained.invalid("input_size", possible));
    }
    Ok(())
}
