//! What may be said of one model, beside what holds for the server. Not here: how it is written in a file (`config`).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::Precision;

/// The label of the version that is served where a request names none.
pub(super) const STABLE: &str = "stable";

/// How a model is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelOptions {
    /// Images of the largest batch.
    pub max_batch: usize,
    /// How long an image waits for company while a device idles.
    pub max_delay: Duration,
    /// Images between admission and answer.
    pub queue_images: usize,
    /// From admission to answer, at most.
    pub deadline: Duration,
    /// In what it is computed; None is what the engine prefers.
    pub precision: Option<Precision>,
    /// The one device that it runs on; None is all.
    pub device: Option<String>,
    /// Whether the server is ready only when it is.
    pub required: bool,
    /// Which versions of a repository are loaded.
    pub versions: VersionPolicy,
    /// Names for versions, as `stable`.
    pub labels: BTreeMap<String, u64>,
}

impl Default for ModelOptions {
    fn default() -> Self {
        Self {
            max_batch: 32,
            max_delay: Duration::ZERO,
            queue_images: 512,
            deadline: Duration::from_secs(30),
            precision: None,
            device: None,
            required: true,
            versions: VersionPolicy::default(),
            labels: BTreeMap::new(),
        }
    }
}

/// Which versions of a model are loaded, of those that its folder has. Versions that have a label always are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionPolicy {
    /// So many of the highest.
    Latest(usize),
    /// All.
    All,
    /// These.
    Named(Vec<u64>),
}

impl Default for VersionPolicy {
    fn default() -> Self {
        Self::Latest(1)
    }
}

impl ModelOptions {
    /// The versions to load of those that there are, rising.
    #[must_use]
    pub fn wanted(&self, available: &[u64]) -> Vec<u64> {
        let latest = |count: usize| available.len().saturating_sub(count);
        let by_policy = |index: usize, version: u64| match &self.versions {
            VersionPolicy::Latest(count) => index >= latest(*count),
            VersionPolicy::All => true,
            VersionPolicy::Named(named) => named.contains(&version),
        };
        let wanted = available.iter().enumerate().filter(|(index, version)| {
            by_policy(*index, **version) || self.labels.values().any(|labelled| labelled == *version)
        });
        wanted.map(|(_, version)| *version).collect()
    }

    /// Why no version is loaded of those that there are.
    pub(super) fn none_wanted(&self, available: &[u64]) -> String {
        let list = |numbers: &[u64]| numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        match (&self.versions, available) {
            (_, []) => "it has no version: a folder with a number for its name is needed, as 1".to_owned(),
            (VersionPolicy::Named(named), _) => {
                format!("it has no version to load: there are {}, and {} are wanted", list(available), list(named))
            }
            _ => format!("it has no version to load of {}", list(available)),
        }
    }

    /// The same in the order of loading: first the one that requests get by default, so that it is the first that answers them.
    pub(super) fn default_first(&self, wanted: &[u64]) -> Vec<u64> {
        let mut order: Vec<u64> = wanted.iter().rev().copied().collect();
        order.sort_by_key(|version| self.labels.get(STABLE) != Some(version));
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_loaded_by_policy_and_those_with_a_label_always() {
        let available = [1, 3, 4, 7];
        let wanted = |versions, labels: &[(&str, u64)]| {
            let labels = labels.iter().map(|(label, version)| ((*label).to_owned(), *version)).collect();
            ModelOptions { versions, labels, ..ModelOptions::default() }.wanted(&available)
        };
        assert_eq!(wanted(VersionPolicy::default(), &[]), [7]);
        assert_eq!(wanted(VersionPolicy::Latest(2), &[]), [4, 7]);
        assert_eq!(wanted(VersionPolicy::Latest(9), &[]), available);
        assert_eq!(wanted(VersionPolicy::All, &[]), available);
        assert_eq!(wanted(VersionPolicy::Named(vec![3, 5]), &[]), [3]);
        assert_eq!(wanted(VersionPolicy::Latest(1), &[("stable", 3), ("canary", 7)]), [3, 7]);
    }

    #[test]
    fn the_version_that_serves_by_default_is_loaded_first() {
        let order = |labels: &[(&str, u64)]| {
            let labels = labels.iter().map(|(label, version)| ((*label).to_owned(), *version)).collect();
            ModelOptions { labels, ..ModelOptions::default() }.default_first(&[1, 3, 7])
        };
        assert_eq!(order(&[]), [7, 3, 1]);
        assert_eq!(order(&[("stable", 3), ("canary", 1)]), [3, 7, 1]);
    }
}
