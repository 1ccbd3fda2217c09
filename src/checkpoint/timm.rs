//! timm's hub format: `config.json` with `architecture`, `num_classes`, `model_args` and `pretrained_cfg`. The authority is
//! `timm/models/convnext.py`. Not here: its tensors' names (`names`), its transform (`preprocessing`).

use super::config::Section;
use super::names::Naming;
use super::{CheckpointError, Description, labels, preprocessing};
use crate::model::convnext::Spec;
use crate::model::{self, SpecError};

/// What the configuration describes.
///
/// # Errors
/// [`CheckpointError::Architecture`] for an unknown one, [`CheckpointError::Config`] for what is not supported.
pub(super) fn describe(config: Section<'_>) -> Result<Description, CheckpointError> {
    // older files have the keys of pretrained_cfg at the top
    let pretrained = config.section("pretrained_cfg")?.unwrap_or(config);
    let args = config.section("model_args")?;
    pretrained.only("global_pool", &["avg"])?;

    let mut spec = architecture(config)?;
    if let Some(args) = args {
        override_with(&mut spec, args)?;
    }
    let with_classes =
        [args, Some(config), Some(pretrained)].into_iter().flatten().find(|s| s.get("num_classes").is_some());
    if let Some(section) = with_classes {
        spec.classes = section
            .integer("num_classes")?
            .filter(|classes| *classes > 0)
            .ok_or_else(|| section.invalid("num_classes", "without a classifier there is nothing to serve"))?;
    }
    Ok(Description {
        naming: Naming::Timm { head_norm_first: spec.head_norm_first },
        preprocessing: preprocessing::timm(pretrained)?,
        labels: labels(config, pretrained, spec.classes)?,
        spec: model::Spec::ConvNext(spec),
    })
}

/// The architecture as timm's entry point of that name makes it.
fn architecture(config: Section<'_>) -> Result<Spec, CheckpointError> {
    let Some(full) = config.text("architecture")? else {
        return Err(config.invalid("architecture", "the name of an architecture is needed"));
    };
    // `convnext_tiny.fb_in1k`: the tag names the weights; before there were tags, a suffix did
    let name = full.split_once('.').map_or(full, |(name, _)| name);
    let legacy = ["_384_in22ft1k", "_in22ft1k", "_in22k"];
    let name = legacy.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
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
    let unknown = || {
        let known = [model::names(), vec!["convnext_tiny_hnf", "convnext_xxlarge"]].concat();
        CheckpointError::Architecture {
            path: config.path(),
            cause: SpecError::Unknown { name: full.to_owned(), known },
        }
    };
    spec.map(|spec| Spec { name: name.to_owned(), ..spec }).ok_or_else(unknown)
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

/// The names that the configuration gives, or ImageNet's for a thousand classes.
fn labels(
    config: Section<'_>,
    pretrained: Section<'_>,
    classes: usize,
) -> Result<Option<Vec<String>>, CheckpointError> {
    // `labels` is the older name of the field
    for (section, key) in
        [(config, "label_names"), (pretrained, "label_names"), (config, "labels"), (pretrained, "labels")]
    {
        if let Some(names) = labels::named(section, key, classes)? {
            return Ok(Some(names));
        }
    }
    Ok((classes == 1000).then(labels::imagenet_1k))
}
