//! What devices computed to the answer of a request: scores with their names, or logits. Not here: how logits become scores (`score`).

use std::sync::Arc;
use std::time::Duration;

use super::ServiceError;
use super::image::Output;
use super::job::Timings;
use super::model::Model;
use super::request::Wanted;
use super::score;
use crate::checkpoint::ScoreFunction;
use crate::metrics::StageTimes;

/// A class and its score.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Index of the class.
    pub class: usize,
    /// Its name.
    pub label: Arc<str>,
    /// Its score.
    pub score: f32,
}

/// The answer for one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Classified {
    /// What was asked for.
    pub scores: Scores,
    /// Images in the batch it ran in.
    pub batch_size: usize,
    /// The device that computed it.
    pub device: Arc<str>,
    /// How long it was where.
    pub timings: Timings,
}

/// What an image is, in the form that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Scores {
    /// The `top_k` classes by falling score.
    Labels(Vec<Prediction>),
    /// One number per class.
    Logits(Vec<f32>),
}

impl Classified {
    /// The classes by falling score; none where logits were asked for.
    #[must_use]
    pub fn predictions(&self) -> &[Prediction] {
        match &self.scores {
            Scores::Labels(predictions) => predictions,
            Scores::Logits(_) => &[],
        }
    }
}

/// The answer for a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The model's name.
    pub model: String,
    /// The model's version.
    pub version: String,
    /// How logits became scores; None where logits were asked for.
    pub function: Option<ScoreFunction>,
    /// One for each image, in the request's order.
    pub images: Vec<Classified>,
}

impl Answer {
    /// How long its stages took: of its images the longest.
    pub(super) fn stages(&self, output: Duration) -> StageTimes {
        let longest = |time: fn(&Timings) -> Duration| self.images.iter().map(|image| time(&image.timings)).max();
        StageTimes {
            input: longest(|timings| timings.decode + timings.transform).unwrap_or_default(),
            queue: longest(|timings| timings.queue).unwrap_or_default(),
            compute: longest(|timings| timings.compute).unwrap_or_default(),
            output,
        }
    }
}

/// The answer of what the devices computed.
pub(super) fn of(model: &Model, wanted: Wanted, outputs: Vec<Output>) -> Result<Answer, ServiceError> {
    let function = match wanted {
        Wanted::Logits => None,
        Wanted::Labels { function, .. } => Some(function.unwrap_or(model.scores)),
    };
    let image = |(index, Output { computed, timings }): (usize, Output)| {
        let scores = match wanted {
            Wanted::Logits => score::are_finite(&computed.logits).then(|| Scores::Logits(computed.logits.clone())),
            Wanted::Labels { top_k, .. } => {
                let top_k = usize::try_from(top_k).unwrap_or(usize::MAX);
                let ranked = score::rank(function.unwrap_or_default(), &computed.logits, top_k);
                ranked.map(|ranked| Scores::Labels(ranked.into_iter().map(|entry| named(model, entry)).collect()))
            }
        };
        let scores = scores.ok_or_else(|| {
            tracing::error!(model = model.name(), device = &*computed.device, "logits are not finite");
            ServiceError::Internal(format!("image {index}: the model's output is not finite"))
        })?;
        Ok(Classified { scores, batch_size: computed.batch_size, device: computed.device, timings })
    };
    Ok(Answer {
        model: model.name().to_owned(),
        version: model.version.to_string(),
        function,
        images: outputs.into_iter().enumerate().map(image).collect::<Result<_, _>>()?,
    })
}

fn named(model: &Model, (class, score): (usize, f32)) -> Prediction {
    // a model has as many labels as classes, which its checkpoint was checked for
    let label = model.classes.get(class).map_or_else(|| Arc::from(format!("class_{class}")), Arc::clone);
    Prediction { class, label, score }
}
