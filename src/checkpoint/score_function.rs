//! How a checkpoint's logits become scores, by the rule of transformers' `ImageClassificationPipeline`. Not here: computing them (`service`).

use std::fmt;
use std::str::FromStr;

use super::CheckpointError;
use super::config::Section;

/// How logits become scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScoreFunction {
    /// `exp(x) / Σ exp(x)`: one class of all.
    #[default]
    Softmax,
    /// `1 / (1 + exp(−x))`: each class by itself.
    Sigmoid,
    /// The logits as they are.
    None,
}

impl ScoreFunction {
    /// As `function_to_apply` names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Softmax => "softmax",
            Self::Sigmoid => "sigmoid",
            Self::None => "none",
        }
    }

    /// Of a checkpoint of so many classes: `problem_type` says it, or a single label, which is a probability by itself.
    ///
    /// # Errors
    /// [`CheckpointError::Config`] for a problem type that transformers does not know.
    pub(super) fn of(config: Section<'_>, classes: usize) -> Result<Self, CheckpointError> {
        match config.text("problem_type")? {
            Some("regression") => Ok(Self::None),
            Some("multi_label_classification") => Ok(Self::Sigmoid),
            None | Some("single_label_classification") if classes == 1 => Ok(Self::Sigmoid),
            None | Some("single_label_classification") => Ok(Self::Softmax),
            Some(_) => {
                let possible = "regression, single_label_classification and multi_label_classification are supported";
                Err(config.invalid("problem_type", possible))
            }
        }
    }
}

impl fmt::Display for ScoreFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no function has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("softmax, sigmoid and none are possible")]
pub struct UnknownScoreFunction;

impl FromStr for ScoreFunction {
    type Err = UnknownScoreFunction;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let all = [Self::Softmax, Self::Sigmoid, Self::None];
        all.into_iter().find(|function| function.name() == name).ok_or(UnknownScoreFunction)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    #[test]
    fn the_problem_type_decides_and_then_whether_there_is_one_label() {
        let of = |config: serde_json::Value, classes| {
            ScoreFunction::of(Section::new(Path::new("config.json"), &config).unwrap(), classes)
        };
        let problem = |name: &str| json!({ "problem_type": name });
        for (config, classes, function) in [
            (json!({}), 10, ScoreFunction::Softmax),
            (json!({ "problem_type": null }), 2, ScoreFunction::Softmax),
            (json!({}), 1, ScoreFunction::Sigmoid),
            (problem("single_label_classification"), 10, ScoreFunction::Softmax),
            (problem("single_label_classification"), 1, ScoreFunction::Sigmoid),
            (problem("multi_label_classification"), 10, ScoreFunction::Sigmoid),
            (problem("regression"), 1, ScoreFunction::None),
            (problem("regression"), 3, ScoreFunction::None),
        ] {
            assert_eq!(of(config.clone(), classes).unwrap(), function, "{config}, {classes} classes");
        }
        let error = of(problem("detection"), 10).unwrap_err().to_string();
        assert!(error.contains("problem_type is \"detection\"; regression"), "{error}");
    }
}
