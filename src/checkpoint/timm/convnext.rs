//! ConvNeXt as timm's entry points and `model_args` make it. The authority is `timm/models/convnext.py`. Not here: Swin, and
//! what configurations of all architectures say.

use super::super::CheckpointError;
use super::super::config::Section;
use super::super::names::Naming;
use crate::model;
use crate::model::convnext::{Spec, Stem};
use crate::program::{Function, NormKind};

/// Names of timm's beside the published ones.
pub(super) const OTHERS: &[&str] = &[
    "convnext_zepto_rms",
    "convnext_zepto_rms_ols",
    "convnext_atto_ols",
    "convnext_atto_rms",
    "convnext_femto_ols",
    "convnext_pico_ols",
    "convnext_nano_ols",
    "convnext_tiny_hnf",
    "convnext_large_mlp",
    "convnext_xxlarge",
    "test_convnext",
    "test_convnext2",
    "test_convnext3",
];

/// The architecture of this name with its arguments; `None` if there is none.
pub(super) fn describe(
    config: Section<'_>,
    name: &str,
    args: Option<Section<'_>>,
) -> Result<Option<(model::Spec, Naming)>, CheckpointError> {
    let Some(mut spec) = architecture(name) else { return Ok(None) };
    if let Some(args) = args {
        override_with(&mut spec, args)?;
    }
    check_image_tower(config, &spec)?;
    let naming = Naming::TimmConvNext { head_norm_first: spec.head_norm_first, stem: spec.stem };
    Ok(Some((model::Spec::ConvNext(spec), naming)))
}

/// Refuses CLIP's own image towers: what timm has for a classifier there is a projection into the space of texts.
fn check_image_tower(config: Section<'_>, spec: &Spec) -> Result<(), CheckpointError> {
    let pretrained = config.section("pretrained_cfg")?.unwrap_or(config);
    let tagged = config.text("architecture")?.and_then(|full| Some(full.split_once('.')?.1));
    let tag = pretrained.text("tag")?.or(tagged).unwrap_or_default();
    let is_tower = tag.starts_with("clip_") && !tag.contains("_ft_in1k") && !tag.contains("_in12k");
    // of a model that was fine-tuned from a tower the tag may have stayed, but it has other classes, or names for them
    let widths: &[usize] = &[640, 768, 1024];
    let outputs = config.integer("num_classes")?.or(pretrained.integer("num_classes")?).unwrap_or(spec.classes);
    let named = [config, pretrained].iter().any(|section| section.get("label_names").is_some());
    if is_tower && widths.contains(&outputs) && !named {
        let why = "this is CLIP's image tower, whose outputs are an embedding and no classes; use a model that was fine-tuned, as \
                   convnext_large_mlp.clip_laion2b_soup_ft_in12k_in1k_384";
        return Err(pretrained.invalid("tag", why));
    }
    Ok(())
}

/// The architecture as timm's entry point of that name makes it.
fn architecture(name: &str) -> Option<Spec> {
    // of another one, with other sizes
    let of = |other: &str, depths: [usize; 4], widths: [usize; 4]| {
        Spec::published(other).map(|spec| Spec { depths: depths.to_vec(), widths: widths.to_vec(), ..spec })
    };
    let like = |other: &str| Spec::published(other);
    let zepto = || of("convnext_atto", [2, 2, 4, 2], [32, 64, 128, 256]);
    let zepto = || zepto().map(|spec| Spec { norm: NormKind::Simple, ..spec });
    let overlapping = |tiered, activated| Stem::Overlapping { tiered, activated };
    let tiered = |other: &str| like(other).map(|spec| Spec { stem: overlapping(true, false), ..spec });
    let test = |depths, widths, function| {
        let spec = of("convnext_atto", depths, widths);
        spec.map(|spec| Spec { eps: 1e-5, head_eps: 1e-5, function: Some(function), ..spec })
    };
    let spec = match name {
        "convnext_zepto_rms" => zepto(),
        "convnext_zepto_rms_ols" => zepto().map(|spec| Spec { stem: overlapping(false, true), ..spec }),
        "convnext_atto_ols" => tiered("convnext_atto"),
        "convnext_atto_rms" => like("convnext_atto").map(|spec| Spec { norm: NormKind::Rms, ..spec }),
        "convnext_femto_ols" => tiered("convnext_femto"),
        "convnext_pico_ols" => tiered("convnext_pico"),
        "convnext_nano_ols" => like("convnext_nano").map(|spec| Spec { stem: overlapping(false, false), ..spec }),
        "convnext_tiny_hnf" => like("convnext_tiny").map(|spec| Spec { head_norm_first: true, ..spec }),
        "convnext_large_mlp" => like("convnext_large").map(|spec| Spec { head_hidden: Some(1536), ..spec }),
        "convnext_xxlarge" => of("convnext_xlarge", [3, 4, 30, 3], [384, 768, 1536, 3072]).map(|spec| Spec {
            eps: 1e-5,
            head_eps: 1e-5,
            ..spec
        }),
        "test_convnext" => test([1, 2, 4, 2], [24, 32, 48, 64], Function::GeluTanh),
        "test_convnext2" => test([1; 4], [32, 64, 96, 128], Function::GeluTanh),
        "test_convnext3" => {
            test([1; 4], [32, 64, 96, 128], Function::Silu).map(|spec| Spec { kernels: vec![7, 5, 5, 3], ..spec })
        }
        _ => like(name),
    };
    spec.map(|spec| Spec { name: name.to_owned(), ..spec })
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
            "patch_size" => spec.patch = args.integer(key)?.unwrap_or(spec.patch),
            "output_stride" => spec.output_stride = args.integer(key)?.or(spec.output_stride),
            "use_grn" => spec.grn = args.flag(key)?.unwrap_or(false),
            "ls_init_value" => spec.layer_scale = args.get(key).is_some(),
            "head_norm_first" => spec.head_norm_first = args.flag(key)?.unwrap_or(false),
            "norm_eps" => {
                spec.eps = args.epsilon(key)?.unwrap_or(1e-6);
                spec.head_eps = spec.eps;
            }
            "conv_bias" if value.as_bool() != Some(true) => return Err(args.invalid(key, "only true is supported")),
            "global_pool" => args.only(key, &["avg"])?,
            "stem_type" => spec.stem = stem(args)?.unwrap_or(spec.stem),
            "act_layer" => spec.function = function(args)?.unwrap_or(spec.function),
            "norm_layer" => spec.norm = norm(args)?,
            // zero is none, as null
            "head_hidden_size" => spec.head_hidden = args.integer(key)?.filter(|hidden| *hidden > 0),
            // just checked; read elsewhere; of training only; or only another stored shape (conv_mlp)
            "conv_bias" | "in_chans" | "num_classes" | "img_size" | "conv_mlp" | "drop_rate" | "drop_path_rate"
            | "head_init_scale" => {}
            _ => return Err(args.invalid(key, "this argument is not known, and might change the network")),
        }
    }
    Ok(())
}

/// The stem of `stem_type`.
fn stem(args: Section<'_>) -> Result<Option<Stem>, CheckpointError> {
    Ok(Some(match args.text("stem_type")? {
        None => return Ok(None),
        Some("patch") => Stem::Patches,
        Some("overlap") => Stem::Overlapping { tiered: false, activated: false },
        Some("overlap_tiered") => Stem::Overlapping { tiered: true, activated: false },
        Some("overlap_act") => Stem::Overlapping { tiered: false, activated: true },
        Some(_) => {
            return Err(args.invalid("stem_type", "patch, overlap, overlap_tiered and overlap_act are supported"));
        }
    }))
}

/// The function of `act_layer` where it is not GELU.
fn function(args: Section<'_>) -> Result<Option<Option<Function>>, CheckpointError> {
    Ok(Some(match args.text("act_layer")? {
        None => return Ok(None),
        Some("gelu") => None,
        Some("gelu_tanh") => Some(Function::GeluTanh),
        Some("silu" | "swish") => Some(Function::Silu),
        Some("relu") => Some(Function::Relu),
        Some(_) => return Err(args.invalid("act_layer", "gelu, gelu_tanh, silu, swish and relu are supported")),
    }))
}

/// The norm of `norm_layer`; by default layer norm, whatever the entry point has.
fn norm(args: Section<'_>) -> Result<NormKind, CheckpointError> {
    match args.text("norm_layer")? {
        None | Some("" | "layernorm" | "layernorm2d") => Ok(NormKind::Layer),
        Some("rmsnorm" | "rmsnorm2d") => Ok(NormKind::Rms),
        Some("simplenorm" | "simplenorm2d") => Ok(NormKind::Simple),
        Some(_) => {
            Err(args.invalid("norm_layer", "layernorm, rmsnorm and simplenorm, with or without 2d, are supported"))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::program::InputSpec;

    /// `sum(p.numel() for p in timm.create_model(name).parameters())`
    #[test]
    fn entry_points_have_timms_parameters() {
        let counts = [
            ("convnext_zepto_rms", 2_155_656),
            ("convnext_zepto_rms_ols", 2_164_232),
            ("convnext_atto_ols", 3_702_912),
            ("convnext_atto_rms", 3_693_040),
            ("convnext_femto_ols", 5_226_520),
            ("convnext_pico_ols", 9_061_928),
            ("convnext_nano_ols", 15_649_560),
            ("convnext_tiny_hnf", 28_589_128),
            ("convnext_large_mlp", 200_128_168),
            ("convnext_xxlarge", 846_471_016),
            ("test_convnext", 272_128),
            ("test_convnext2", 477_800),
            ("test_convnext3", 468_840),
        ];
        for (name, expected) in counts {
            let spec = model::Spec::ConvNext(architecture(name).unwrap());
            assert_eq!(spec.program(InputSpec::imagenet(224)).unwrap().parameters(), expected, "{name}");
        }
        assert!(OTHERS.iter().all(|name| counts.iter().any(|(counted, _)| counted == name)));
    }
}
