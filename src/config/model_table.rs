//! What the file says of one model: its table `[model.NAME]`. Not here: what is said of all models (`flags`).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de};

use super::precision::ChosenPrecision;
use super::units::Span;
use crate::service::{ModelOptions, VersionPolicy};

/// A model's table; None where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ModelTable {
    /// Images of the largest batch.
    pub max_batch: Option<usize>,
    /// How long an image waits for company while a device idles.
    pub max_delay: Option<Span>,
    /// Images between admission and answer.
    pub queue_images: Option<usize>,
    /// From admission to answer, at most.
    pub deadline: Option<Span>,
    /// `auto`, `f32`, and what else a device can.
    pub precision: Option<ChosenPrecision>,
    /// The one device that it runs on.
    pub device: Option<String>,
    /// Whether the server is ready only when the model is.
    pub required: Option<bool>,
    /// `"latest"`, `"all"`, `{ latest = 2 }` or a list of numbers.
    #[serde(deserialize_with = "versions")]
    pub versions: Option<VersionPolicy>,
    /// `{ stable = 3, canary = 4 }`
    #[serde(deserialize_with = "labels")]
    pub labels: Option<BTreeMap<String, u64>>,
}

impl ModelTable {
    /// What it says, and where it says nothing, what holds for all.
    #[must_use]
    pub fn over(&self, all: &ModelOptions) -> ModelOptions {
        ModelOptions {
            max_batch: self.max_batch.unwrap_or(all.max_batch),
            max_delay: self.max_delay.map_or(all.max_delay, |span| span.0),
            queue_images: self.queue_images.unwrap_or(all.queue_images),
            deadline: self.deadline.map_or(all.deadline, |span| span.0),
            precision: self.precision.map_or(all.precision, Into::into),
            device: self.device.clone().or_else(|| all.device.clone()),
            required: self.required.unwrap_or(all.required),
            versions: self.versions.clone().unwrap_or_else(|| all.versions.clone()),
            labels: self.labels.clone().unwrap_or_else(|| all.labels.clone()),
        }
    }
}

fn versions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<VersionPolicy>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Word(String),
        Latest { latest: usize },
        Named(Vec<u64>),
    }
    const POSSIBLE: &str = "\"latest\", \"all\", { latest = 2 } or a list of numbers are possible";
    let form = Form::deserialize(deserializer).map_err(|_| de::Error::custom(format!("versions: {POSSIBLE}")))?;
    match form {
        Form::Word(word) if word == "latest" => Ok(Some(VersionPolicy::Latest(1))),
        Form::Word(word) if word == "all" => Ok(Some(VersionPolicy::All)),
        Form::Word(word) => Err(de::Error::custom(format!("versions is {word:?}; {POSSIBLE}"))),
        Form::Latest { latest: 0 } => {
            Err(de::Error::custom("versions: { latest = 0 } would load none; at least 1 is needed"))
        }
        Form::Latest { latest } => Ok(Some(VersionPolicy::Latest(latest))),
        Form::Named(named) if named.is_empty() => Err(de::Error::custom("versions: an empty list would load none")),
        Form::Named(named) => Ok(Some(VersionPolicy::Named(named))),
    }
}

fn labels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<BTreeMap<String, u64>>, D::Error> {
    let labels = BTreeMap::<String, u64>::deserialize(deserializer)?;
    // `?version=3` asks for a number
    if let Some(label) = labels.keys().find(|label| label.is_empty() || label.parse::<u64>().is_ok()) {
        return Err(de::Error::custom(format!("label {label:?} could not be told from a version's number")));
    }
    Ok(Some(labels))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::time::Duration;

    use super::super::Flags;
    use super::*;
    use crate::service::Precision;

    fn options(text: &str) -> ModelOptions {
        let flags: Flags = toml::from_str(&format!("max-batch = 8\ndeadline = \"9s\"\n[model.cats]\n{text}")).unwrap();
        flags.resolve().unwrap().settings.models["cats"].clone()
    }

    #[test]
    fn a_table_says_what_holds_for_one_model_and_the_rest_is_the_servers() {
        let cats = options(
            "queue-images = 64\nmax-delay = \"2ms\"\nprecision = \"f16\"\ndevice = \"cuda:1\"\nrequired = false\n\
             labels = { stable = 3 }",
        );
        assert_eq!((cats.max_batch, cats.deadline), (8, Duration::from_secs(9)), "as the server's");
        assert_eq!((cats.queue_images, cats.max_delay), (64, Duration::from_millis(2)));
        assert_eq!((cats.precision, cats.device.as_deref()), (Some(Precision::F16), Some("cuda:1")));
        assert!(!cats.required);
        assert_eq!(cats.labels["stable"], 3);
        assert_eq!(options("").versions, VersionPolicy::Latest(1));
    }

    #[test]
    fn versions_are_a_word_a_number_or_a_list() {
        assert_eq!(options("versions = \"all\"").versions, VersionPolicy::All);
        assert_eq!(options("versions = \"latest\"").versions, VersionPolicy::Latest(1));
        assert_eq!(options("versions = { latest = 3 }").versions, VersionPolicy::Latest(3));
        assert_eq!(options("versions = [1, 4]").versions, VersionPolicy::Named(vec![1, 4]));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (text, named) in [
            ("max-batch = 0", "model.cats: max-batch is 0"),
            ("deadline = \"0s\"", "model.cats: deadline is 0s"),
            ("versions = \"newest\"", "newest"),
            ("versions = { latest = 0 }", "would load none"),
            ("versions = []", "would load none"),
            ("labels = { 3 = 1 }", "label \"3\""),
            ("max-delay = \"30s\"", "max-delay is 30s"),
            ("precision = \"f8\"", "f8"),
            ("max-bach = 4", "max-bach"),
        ] {
            let flags = toml::from_str::<Flags>(&format!("[model.cats]\n{text}"));
            let error = match flags {
                Ok(flags) => flags.resolve().unwrap_err().to_string(),
                Err(error) => error.to_string(),
            };
            assert!(error.contains(named), "{error}");
        }
    }
}
