//! Names of models: given once, and such that URLs, metrics and logs take them.

use std::collections::HashSet;

use super::NamedModel;

/// Refuses a name that cannot be one.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    // a lone dot or two are no path of a URL
    if name.is_empty() || name.len() > 128 || !name.chars().all(fits) || name.chars().all(|c| c == '.') {
        return Err(format!(
            "model name {name:?}: 1 to 128 letters, digits, dots, dashes and underscores are possible"
        ));
    }
    Ok(())
}

/// Refuses names that cannot be, names given twice, and baselines that are not served. `complete` says that there will be no others.
pub(super) fn check_names(models: &[NamedModel], complete: bool) -> Result<(), String> {
    let mut seen = HashSet::new();
    if models.is_empty() && complete {
        return Err("there is no model to serve".to_owned());
    }
    for NamedModel { name, .. } in models {
        check_name(name)?;
        if !seen.insert(name) {
            return Err(format!("two models are named {name}"));
        }
    }
    let missing = |model: &&NamedModel| model.baseline.as_ref().is_some_and(|baseline| !seen.contains(baseline));
    if let Some(NamedModel { name, baseline: Some(baseline), .. }) = models.iter().find(missing).filter(|_| complete) {
        return Err(format!("model {name} is to be measured against {baseline}, which is not served"));
    }
    Ok(())
}
