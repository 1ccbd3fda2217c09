//! `ConvNextConfig` and its V2. The authority is `transformers/models/convnext/`. Not here: Swin, and what configurations of all
//! classes say.

use super::super::CheckpointError;
use super::super::config::Section;
use super::super::names::Naming;
use super::{check_common, classes, depths, function};
use crate::model;
use crate::model::convnext::{Spec, Stem};
use crate::program::NormKind;

/// The network of `family`, `convnext` or `convnextv2`. Absent fields have the defaults of `ConvNextConfig`.
pub(super) fn describe(
    config: Section<'_>,
    family: &'static str,
    grn: bool,
) -> Result<(model::Spec, Naming), CheckpointError> {
    check_common(config)?;
    let function = function(config)?;
    let depths = depths(config, [3, 3, 9, 3])?;
    let widths = config.integers("hidden_sizes")?.unwrap_or_else(|| vec![96, 192, 384, 768]);
    if config.integer("num_stages")?.unwrap_or(4) != depths.len() {
        return Err(config.invalid("num_stages", &format!("there are {} depths", depths.len())));
    }
    // absent, or any number above zero, is V1's layer scale; V2 has none
    let layer_scale = !grn && config.get("layer_scale_init_value").is_none_or(|init| init.as_f64() > Some(0.0));
    let spec = Spec {
        name: published(family, &depths, &widths),
        kernels: vec![7; depths.len()],
        depths,
        widths,
        classes: classes(config)?,
        one_channel: false,
        stem: Stem::Patches,
        output_stride: None,
        patch: config.integer("patch_size")?.unwrap_or(4),
        expansion: 4.0,
        grn,
        layer_scale,
        norm: NormKind::Layer,
        function,
        head_norm_first: false,
        head_hidden: None,
        // layer_norm_eps is of the last norm only, the others' is fixed
        eps: 1e-6,
        head_eps: config.epsilon("layer_norm_eps")?.unwrap_or(1e-12),
    };
    Ok((model::Spec::ConvNext(spec), Naming::TransformersConvNext { prefix: family }))
}

/// The name of the published architecture with these numbers, or the family's: transformers names no sizes.
fn published(family: &str, depths: &[usize], widths: &[usize]) -> String {
    let specs = model::names().into_iter().filter(|name| name.split_once('_').is_some_and(|(of, _)| of == family));
    let mut same = specs.filter_map(Spec::published).filter(|spec| spec.depths == depths && spec.widths == widths);
    same.next().map_or_else(|| family.to_owned(), |spec| spec.name)
}
