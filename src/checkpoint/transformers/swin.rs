//! `SwinConfig`. The authority is `transformers/models/swin/`. Not here: ConvNeXt, and what configurations of all classes say.

use serde_json::Value;

use super::super::CheckpointError;
use super::super::config::Section;
use super::super::names::Naming;
use super::{check_common, classes, depths, function};
use crate::model;
use crate::model::swin::{Dialect, PUBLISHED, Spec};
use crate::program::InputSpec;

/// The network. Absent fields have the defaults of `SwinConfig`; `image_size` is not read here, for without absolute embeddings the
/// network is one for images of any size.
pub(super) fn describe(config: Section<'_>) -> Result<(model::Spec, Naming), CheckpointError> {
    check_common(config)?;
    let function = function(config)?;
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
        one_channel: false,
        patch: config.integer("patch_size")?.unwrap_or(4),
        positions: config.flag("use_absolute_embeddings")? == Some(true),
        function,
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

/// Holds the images against those whose patches have embeddings of their positions: the library interpolates none unless it is told to.
pub(super) fn check_positions(config: Section<'_>, patch: usize, input: &InputSpec) -> Result<(), CheckpointError> {
    let size = match config.get("image_size") {
        Some(Value::Array(_)) => config.integers("image_size")?,
        _ => config.integer("image_size")?.or(Some(224)).map(|side| vec![side; 2]),
    };
    let patches = |sides: &[usize]| sides.iter().map(|side| side / patch.max(1)).product::<usize>();
    if size.is_none_or(|size| size.len() != 2 || patches(&size) != patches(&[input.height, input.width])) {
        let why = format!(
            "images become {}×{}, and embeddings of positions (use_absolute_embeddings) are for one size; let size in \
             preprocessor_config.json be image_size",
            input.height, input.width
        );
        return Err(config.invalid("image_size", &why));
    }
    Ok(())
}

/// The name of the published architecture with these numbers, or the family's: transformers names no sizes.
fn published(spec: &Spec) -> String {
    let short = PUBLISHED.iter().map(|size| size.name.to_owned());
    let large = PUBLISHED.iter().map(|size| format!("{}_patch4_window12_384", size.name));
    let numbers = |spec: &Spec| (spec.depths.clone(), spec.widths.clone(), spec.heads.clone(), spec.windows.clone());
    let mut same = short.chain(large).filter_map(|name| Spec::published(&name));
    same.find(|known| numbers(known) == numbers(spec)).map_or_else(|| "swin".to_owned(), |known| known.name)
}
