//! ConvNeXt as timm's entry points and `model_args` make it. The authority is `timm/models/convnext.py`. Not here: Swin, and
//! what configurations of all architectures say.

use super::super::CheckpointError;
use super::super::config::Section;
use super::super::names::Naming;
use crate::model;
use crate::model::convnext::Spec;

/// Names of timm's beside the published ones.
pub(super) const OTHERS: &[&str] = &["convnext_tiny_hnf", "convnext_xxlarge"];

/// The architecture of this name with its arguments; `None` if there is none.
pub(super) fn describe(
    config: Section<'_>,
    name: &str,
    args: Option<Section<'_>>,
) -> Result<Option<(model::Spec, Naming)>, CheckpointError> {
    let Some(mut spec) = architecture(config, name)? else { return Ok(None) };
    if let Some(args) = args {
        override_with(&mut spec, args)?;
    }
    let naming = Naming::TimmConvNext { head_norm_first: spec.head_norm_first };
    Ok(Some((model::Spec::ConvNext(spec), naming)))
}

/// The architecture as timm's entry point of that name makes it.
fn architecture(config: Section<'_>, name: &str) -> Result<Option<Spec>, CheckpointError> {
    let unsupported = match name {
        _ if name.ends_with("_rms") || name.ends_with("_rms_ols") => Some("its norm layers are not layer norms"),
        _ if name.ends_with("_ols") => Some("its stem is of overlapping convolutions, stem_type overlap"),
        "convnext_large_mlp" => Some("its head has a hidden layer, head_hidden_size"),
        "test_convnext" | "test_convnext2" | "test_convnext3" => Some("its act_layer is not gelu"),
        _ => None,
    };
    if let (Some(why), true) = (unsupported, name.contains("convnext")) {
        return Err(config.invalid("architecture", &format!("{why}; this is not supported")));
    }
    let spec = match name {
        "convnext_tiny_hnf" => Spec::published("convnext_tiny").map(|tiny| Spec { head_norm_first: true, ..tiny }),
        "convnext_xxlarge" => Spec::published("convnext_xlarge").map(|xlarge| Spec {
            depths: vec![3, 4, 30, 3],
            widths: vec![384, 768, 1536, 3072],
            eps: 1e-5,
            head_eps: 1e-5,
            ..xlarge
        }),
        _ => Spec::published(name),
    };
    Ok(spec.map(|spec| Spec { name: name.to_owned(), ..spec }))
}

/// Follows `model_args`, the arguments of timm's `ConvNeXt`, each as its constructor takes it.
fn override_with(spec: &mut Spec, args: Section<'_>) -> Result<(), CheckpointError> {
    let four = |key| match args.integers(key)? {
        Some(list) if list.len() != 4 => Err(args.invalid(key, "four numbers are needed, one for each stage")),
        list => Ok(list),
    };
    for (key, value) in args.entries() {
        match key {
            "depths" => spec.depths = four(key)?.unwrap_or_else(|| spec.depths.clone()),
            "dims" => spec.widths = four(key)?.unwrap_or_else(|| spec.widths.clone()),
            "kernel_sizes" if value.is_number() => spec.kernels = vec![args.integer(key)?.unwrap_or(7); 4],
            "kernel_sizes" => spec.kernels = four(key)?.unwrap_or_else(|| spec.kernels.clone()),
            // 2 would make the first stage halve the map too; from 8 on the last stage is dilated (output_stride 32)
            "patch_size" => match args.integer(key)? {
                Some(patch) if !matches!(patch, 1 | 3..=7) => {
                    return Err(args.invalid(key, "1 and 3 to 7 are supported"));
                }
                patch => spec.patch = patch.unwrap_or(spec.patch),
            },
            "use_grn" => spec.grn = args.flag(key)?.unwrap_or(false),
            "ls_init_value" => spec.layer_scale = args.get(key).is_some(),
            "head_norm_first" => spec.head_norm_first = args.flag(key)?.unwrap_or(false),
            "norm_eps" => {
                spec.eps = args.epsilon(key)?.unwrap_or(1e-6);
                spec.head_eps = spec.eps;
            }
            "conv_bias" if value.as_bool() != Some(true) => return Err(args.invalid(key, "only true is supported")),
            "in_chans" if value.as_u64() != Some(3) => return Err(args.invalid(key, "only 3 is supported")),
            "output_stride" if value.as_u64() != Some(32) => return Err(args.invalid(key, "only 32 is supported")),
            "global_pool" => args.only(key, &["avg"])?,
            "stem_type" => args.only(key, &["patch"])?,
            "act_layer" => args.only(key, &["gelu"])?,
            "norm_layer" => args.only(key, &["layernorm", "layernorm2d"])?,
            "head_hidden_size" if !value.is_null() => return Err(args.invalid(key, "only null is supported")),
            // just checked; read elsewhere; of training only; or only another stored shape (conv_mlp)
            "conv_bias" | "in_chans" | "output_stride" | "head_hidden_size" | "num_classes" | "img_size"
            | "conv_mlp" | "drop_rate" | "drop_path_rate" | "head_init_scale" => {}
            _ => return Err(args.invalid(key, "this argument is not known, and might change the network")),
        }
    }
    Ok(())
}
