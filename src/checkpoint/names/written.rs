//! Names as files have them, to those that the library's own loader makes of them: without the prefixes of wrappers, and of the authors' code timm's. Not
//! here: what a network's tensors are called (`convnext`, `swin`).

use super::Naming;

/// What `torch.compile` and distributed training put before every name, in the order in which timm's `clean_state_dict` takes them away.
const WRAPPERS: [&str; 3] = ["_orig_mod.", "module.", "_orig_mod."];

/// A tensor that only Facebook's own files have.
const FACEBOOK: &str = "downsample_layers.0.0.weight";

impl Naming {
    /// The name that the library's loader gives to a tensor of a file; `has` says which names there are, without wrappers.
    pub(in super::super) fn loaded(self, stored: &str, has: impl Fn(&str) -> bool) -> String {
        let name = unwrapped(stored);
        // both names of a parameter were in use, as of every norm once
        let name = name.replace(".grn.gamma", ".grn.weight").replace(".grn.beta", ".grn.bias");
        match self {
            Self::TimmConvNext { .. } if has(FACEBOOK) => facebook(&name),
            _ => name,
        }
    }
}

/// A name without what wrappers put before it.
pub(in super::super) fn unwrapped(stored: &str) -> &str {
    WRAPPERS.iter().fold(stored, |name, wrapper| name.strip_prefix(wrapper).unwrap_or(name))
}

/// timm's name of a tensor of <https://github.com/facebookresearch/ConvNeXt> and its V2: `checkpoint_filter_fn` of timm's `convnext.py`.
fn facebook(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    match parts.as_slice() {
        ["downsample_layers", "0", rest @ ..] => format!("stem.{}", rest.join(".")),
        ["downsample_layers", stage, rest @ ..] => format!("stages.{stage}.downsample.{}", rest.join(".")),
        ["stages", stage, block, rest @ ..] => {
            let part = match rest {
                ["dwconv", rest @ ..] => format!("conv_dw.{}", rest.join(".")),
                ["pwconv1", rest @ ..] => format!("mlp.fc1.{}", rest.join(".")),
                ["pwconv2", rest @ ..] => format!("mlp.fc2.{}", rest.join(".")),
                ["grn", rest @ ..] => format!("mlp.grn.{}", rest.join(".")),
                rest => rest.join("."),
            };
            format!("stages.{stage}.blocks.{block}.{part}")
        }
        ["norm", rest @ ..] => format!("head.norm.{}", rest.join(".")),
        ["head", rest @ ..] => format!("head.fc.{}", rest.join(".")),
        _ => name.to_owned(),
    }
}

/// Whose names these are, where they are not those that were expected, and what to do.
pub(in super::super) fn hint<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Option<&'static str> {
    let any = |part: &str| names.clone().any(|name| name.starts_with(part));
    let all = |part: &str| names.clone().all(|name| name.starts_with(part));
    if any("features.0.0.") && any("classifier.") {
        Some("these are torchvision's names; timm publishes the same weights, as convnext_tiny.fb_in1k")
    } else if any("visual.trunk.") {
        Some(
            "these are open_clip's names, of a CLIP model, whose image tower gives an embedding and no classes; fine-tune it, and save it by timm",
        )
    } else if names.clone().next().is_some() && all("model.") {
        Some("every name begins with model., as PyTorch Lightning writes it; save the model's own state_dict")
    } else if any("encoder.stages.") || any("embeddings.patch_embeddings.") {
        Some("this is a backbone without its classifier; save the model for image classification")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::convnext::Stem;

    #[test]
    fn wrappers_are_taken_away_in_either_order() {
        for stored in [
            "stem.0.weight",
            "module.stem.0.weight",
            "_orig_mod.stem.0.weight",
            "_orig_mod.module.stem.0.weight",
            "module._orig_mod.stem.0.weight",
        ] {
            assert_eq!(unwrapped(stored), "stem.0.weight");
        }
    }

    #[test]
    fn facebooks_names_become_timms() {
        let naming = Naming::TimmConvNext { head_norm_first: false, stem: Stem::Patches };
        for (stored, loaded) in [
            ("downsample_layers.0.0.weight", "stem.0.weight"),
            ("downsample_layers.0.1.bias", "stem.1.bias"),
            ("downsample_layers.3.1.weight", "stages.3.downsample.1.weight"),
            ("stages.2.8.dwconv.weight", "stages.2.blocks.8.conv_dw.weight"),
            ("stages.2.8.norm.bias", "stages.2.blocks.8.norm.bias"),
            ("stages.2.8.pwconv1.weight", "stages.2.blocks.8.mlp.fc1.weight"),
            ("stages.2.8.pwconv2.bias", "stages.2.blocks.8.mlp.fc2.bias"),
            ("stages.2.8.gamma", "stages.2.blocks.8.gamma"),
            ("stages.2.8.grn.gamma", "stages.2.blocks.8.mlp.grn.weight"),
            ("stages.2.8.grn.beta", "stages.2.blocks.8.mlp.grn.bias"),
            ("norm.weight", "head.norm.weight"),
            ("head.bias", "head.fc.bias"),
        ] {
            assert_eq!(naming.loaded(stored, |name| name == FACEBOOK), loaded);
            // the same name in a file of timm's own stays
            let own = stored.replace("grn.gamma", "grn.weight").replace("grn.beta", "grn.bias");
            assert_eq!(naming.loaded(stored, |_| false), own);
        }
    }
}
