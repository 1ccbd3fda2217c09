//! The two names of a model: `NAME` takes tensors, `NAME_image` takes image files. Not here: versions, which the service knows.

use super::tensor::Datatype;
use crate::service::{Classifier, Form};

/// What the name of a model that takes files ends with.
pub const IMAGE_SUFFIX: &str = "_image";

/// The one output of every model.
pub(super) const OUTPUT: &str = "logits";

/// What a name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As it was asked for.
    pub name: String,
    /// The served model's own name.
    pub model: String,
    /// What it takes.
    pub form: Form,
}

impl Target {
    /// What a name means. A model that is itself called `NAME_image` goes before the second name of `NAME`. Whether there is such a
    /// model shows when it is asked for.
    #[must_use]
    pub fn of(classifier: &Classifier, name: &str) -> Self {
        let second = || name.strip_suffix(IMAGE_SUFFIX).filter(|model| classifier.knows(model));
        let (model, form) = match (classifier.knows(name), second()) {
            (false, Some(model)) => (model, Form::Files),
            _ => (name, Form::Tensor),
        };
        Self { name: name.to_owned(), model: model.to_owned(), form }
    }

    /// Both names of a model, but for one that is another model's own.
    pub(super) fn both(classifier: &Classifier, model: &str) -> Vec<Self> {
        let image = format!("{model}{IMAGE_SUFFIX}");
        let mut both = vec![Self { name: model.to_owned(), model: model.to_owned(), form: Form::Tensor }];
        if !classifier.knows(&image) {
            both.push(Self { name: image, model: model.to_owned(), form: Form::Files });
        }
        both
    }
}

/// The name of the one input.
pub(super) fn input_name(form: Form) -> &'static str {
    match form {
        Form::Tensor => "pixels",
        Form::Files => "image",
    }
}

/// The type of the one input that is told; a tensor may come in FP16 too.
pub(super) fn input_type(form: Form) -> Datatype {
    match form {
        Form::Tensor => Datatype::Fp32,
        Form::Files => Datatype::Bytes,
    }
}

/// The protocol's version is a string that is empty where the server is to choose.
pub(super) fn version(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
