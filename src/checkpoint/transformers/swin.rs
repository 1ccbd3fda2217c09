//! `SwinConfig`. The authority is `transformers/models/swin/`. Not here: ConvNeXt, and what configurations of all classes say.

use super::super::CheckpointError;
use super::super::config::Section;
use super::super::names::Naming;
use super::{check_common, classes, depths};
use crate::model;
use crate::model::swin::{Dialect, PUBLISHED, Spec};

/// The network. Absent fields have the defaults of `SwinConfig`; `image_size` is not read, for without absolute embeddings the
/// network is one for images of any size.
pub(super) fn describe(config: Section<'_>) -> Result<(model::Spec, Naming), CheckpointError> {
    check_common(config)?;
    if config.flag("use_absolute_embeddings")? == Some(true) {
        return Err(config.invalid("use_absolute_embeddings", "only false is supported"));
    }
    let depths = depths(config, [2, 2, 6, 2])?;
    let width = config.integer("embed_dim")?.unwrap_or(96);
    let window = config.integer("window_size")?.unwrap_or(7);
    let mut spec = Spec {
        name: String::new(),
        // what overflows is refused with the specification
        widths: (0..depths.len()).map(|stage| width.saturating_mul(1 << stage)).collect(),
        heads: config.integers("num_heads")?.unwrap_or_else(|| vec![3, 6, 12, 24]),
        windows: vec![[window; 2]; depths.len()],
        depths,
        classes: classes(config)?,
        patch: config.integer("patch_size")?.unwrap_or(4),
        expansion: config.positive("mlp_ratio")?.unwrap_or(4.0),
        qkv_bias: config.flag("qkv_bias")?.unwrap_or(true),
        eps: config.epsilon("layer_norm_eps")?.unwrap_or(1e-5),
        // layer_norm_eps is not of the stem's norm and the merges'
        fixed_eps: 1e-5,
        dialect: Dialect::Transformers,
    };
    spec.name = published(&spec);
    Ok((model::Spec::Swin(spec), Naming::TransformersSwin))
}

/// The name of the published architecture with these numbers, or the family's: transformers names no sizes.
fn published(spec: &Spec) -> String {
    let short = PUBLISHED.iter().map(|size| size.name.to_owned());
    let large = PUBLISHED.iter().map(|size| format!("{}_patch4_window12_384", size.name));
    let numbers = |spec: &Spec| (spec.depths.clone(), spec.widths.clone(), spec.heads.clone(), spec.windows.clone());
    let mut same = short.chain(large).filter_map(|name| Spec::published(&name));
    same.find(|known| numbers(known) == numbers(spec)).map_or_else(|| "swin".to_owned(), |known| known.name)
}
