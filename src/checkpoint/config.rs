//! Reading what JSON configurations say: the fields of an object, each of its type or an error that names it. Not here: what
//! the fields mean (`timm`, `transformers`, `preprocessing`).

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::CheckpointError;

/// An object of a configuration. `null` reads as absent, as both libraries take it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section<'a> {
    path: &'a Path,
    /// Name of the object in its file; empty for the whole.
    name: &'a str,
    fields: &'a Map<String, Value>,
}

impl<'a> Section<'a> {
    /// The whole file.
    pub(super) fn new(path: &'a Path, value: &'a Value) -> Result<Self, CheckpointError> {
        match value {
            Value::Object(fields) => Ok(Self { path, name: "", fields }),
            _ => Err(CheckpointError::Config { path: path.to_owned(), why: "a JSON object is needed".to_owned() }),
        }
    }

    /// The file, for messages.
    pub(super) fn path(&self) -> PathBuf {
        self.path.to_owned()
    }

    /// The value of a field that is there and not `null`.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.fields.get(key).filter(|value| !value.is_null())
    }

    /// Whether a field is there, even as `null`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.fields.contains_key(key)
    }

    /// All fields.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'a> {
        self.fields.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The error that a field's value is not one that is `possible`, in a clause.
    pub(super) fn invalid(&self, key: &str, possible: &str) -> CheckpointError {
        let name = if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) };
        let why = match self.fields.get(key) {
            None => format!("{name} is missing; {possible}"),
            Some(value) => format!("{name} is {}; {possible}", excerpt(value)),
        };
        CheckpointError::Config { path: self.path(), why }
    }

    fn read<T>(
        &self,
        key: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
        possible: &str,
    ) -> Result<Option<T>, CheckpointError> {
        let value = self.get(key).map(|value| read(value).ok_or_else(|| self.invalid(key, possible)));
        value.transpose()
    }

    /// An object within this one.
    pub(super) fn section(&self, key: &'a str) -> Result<Option<Self>, CheckpointError> {
        let fields = self.read(key, Value::as_object, "an object is needed")?;
        Ok(fields.map(|fields| Self { path: self.path, name: key, fields }))
    }

    /// A string.
    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, CheckpointError> {
        self.read(key, Value::as_str, "a string is needed")
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, CheckpointError> {
        self.read(key, Value::as_bool, "true or false is needed")
    }

    /// A whole number that is not negative.
    pub(super) fn integer(&self, key: &str) -> Result<Option<usize>, CheckpointError> {
        self.read(key, integer, "a whole number is needed")
    }

    /// The epsilon of a norm.
    pub(super) fn epsilon(&self, key: &str) -> Result<Option<f32>, CheckpointError> {
        let epsilon = |value: &Value| value.as_f64().map(|eps| eps as f32).filter(|eps| *eps > 0.0 && *eps < 1.0);
        self.read(key, epsilon, "a small number above zero is needed")
    }

    /// A number above zero.
    pub(super) fn positive(&self, key: &str) -> Result<Option<f64>, CheckpointError> {
        let positive = |value: &Value| value.as_f64().filter(|number| *number > 0.0);
        self.read(key, positive, "a number above zero is needed")
    }

    /// A list of whole numbers that are not negative.
    pub(super) fn integers(&self, key: &str) -> Result<Option<Vec<usize>>, CheckpointError> {
        let list = |value: &Value| value.as_array()?.iter().map(integer).collect();
        self.read(key, list, "a list of whole numbers is needed")
    }

    /// A number for each channel.
    pub(super) fn channels(&self, key: &str) -> Result<Option<[f32; 3]>, CheckpointError> {
        self.read(key, |value| numbers(value)?.try_into().ok(), "three numbers are needed")
    }

    /// A number for each channel, or one for all of them. Where there are three for a single channel, it has their mean.
    pub(super) fn channels_of(&self, key: &str, one_channel: bool) -> Result<Option<[f32; 3]>, CheckpointError> {
        let channels = |value: &Value| match numbers(value)?.as_slice() {
            [all] => Some([*all; 3]),
            [a, b, c] if one_channel => Some([((f64::from(*a) + f64::from(*b) + f64::from(*c)) / 3.0) as f32; 3]),
            [a, b, c] => Some([*a, *b, *c]),
            _ => None,
        };
        self.read(key, channels, "one number or three are needed")
    }

    /// A field that changes the network or its input, and of which only one value is supported.
    pub(super) fn only(&self, key: &str, supported: &[&str]) -> Result<(), CheckpointError> {
        match self.get(key) {
            Some(value) if !supported.iter().any(|text| value.as_str() == Some(*text)) => {
                Err(self.invalid(key, &format!("only {} is supported", supported.join(" or "))))
            }
            _ => Ok(()),
        }
    }
}

fn numbers(value: &Value) -> Option<Vec<f32>> {
    let number = |value: &Value| value.as_f64().map(|number| number as f32).filter(|number| number.is_finite());
    value.as_array()?.iter().map(number).collect()
}

fn integer(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|number| usize::try_from(number).ok())
}

/// A value as it stands in the file, cut short: the file may be hostile, the message is for a person.
fn excerpt(value: &Value) -> String {
    const SHOWN: usize = 60;
    let text = match value {
        Value::Array(items) if items.len() > SHOWN => format!("a list of {}", items.len()),
        Value::Object(fields) => format!("an object of {}", fields.len()),
        other => other.to_string(),
    };
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
