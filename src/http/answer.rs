//! The JSON of an answer: Hugging Face's `[{"label", "score"}, …]`, and with `detail=1` also the device, batch and timings.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::error::Error;
use super::form::Shape;
use crate::service::{Answer, Classified, Prediction, ScoreFunction, Timings};

/// A class and how likely it is.
#[derive(Serialize, ToSchema)]
#[schema(as = Label)]
pub(super) struct Label<'a> {
    label: &'a str,
    /// By `function_to_apply`: a probability, or a logit.
    score: f32,
}

/// What `detail=1` tells of an image.
#[derive(Serialize, ToSchema)]
#[schema(as = DetailedImage)]
pub(super) struct Detailed<'a> {
    model: &'a str,
    version: &'a str,
    /// What computed it.
    device: &'a str,
    /// The image's index in the request.
    index: usize,
    /// How logits became scores.
    function_to_apply: &'static str,
    /// Images that were computed together.
    batch_size: usize,
    timings_ms: Milliseconds,
    /// By falling score.
    predictions: Vec<Label<'a>>,
}

/// Milliseconds of each stage.
#[derive(Serialize, ToSchema)]
struct Milliseconds {
    decode: f64,
    transform: f64,
    queue: f64,
    compute: f64,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Image<'a> {
    Plain(Vec<Label<'a>>),
    Detailed(Box<Detailed<'a>>),
}

/// The answer's JSON in the shape that the form of the request asks for.
///
/// # Errors
/// [`Error::Internal`] when the service answered no image, or JSON fails.
pub(super) fn json(answer: &Answer, shape: Shape, detail: bool) -> Result<Vec<u8>, Error> {
    let image = |(index, image)| {
        if detail { Image::Detailed(Box::new(detailed(answer, index, image))) } else { Image::Plain(labels(image)) }
    };
    let mut images = answer.images.iter().enumerate().map(image);
    let text = match shape {
        Shape::List => serde_json::to_vec(&images.collect::<Vec<_>>()),
        Shape::One => match images.next() {
            Some(image) => serde_json::to_vec(&image),
            None => {
                tracing::error!(model = answer.model, "the service answered without the image");
                return Err(Error::Internal);
            }
        },
    };
    text.map_err(|error| {
        tracing::error!(%error, "the answer cannot be written as JSON");
        Error::Internal
    })
}

fn labels(image: &Classified) -> Vec<Label<'_>> {
    image.predictions().iter().map(|Prediction { label, score, .. }| Label { label, score: *score }).collect()
}

fn detailed<'a>(answer: &'a Answer, index: usize, image: &'a Classified) -> Detailed<'a> {
    let Timings { decode, transform, queue, compute } = image.timings;
    Detailed {
        model: &answer.model,
        version: &answer.version,
        device: &image.device,
        index,
        function_to_apply: answer.function.map_or("none", ScoreFunction::name),
        batch_size: image.batch_size,
        timings_ms: Milliseconds {
            decode: milliseconds(decode),
            transform: milliseconds(transform),
            queue: milliseconds(queue),
            compute: milliseconds(compute),
        },
        predictions: labels(image),
    }
}

/// To the microsecond.
fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::{Value, json};

    use crate::service::Scores;

    use super::*;

    fn answer(images: usize) -> Answer {
        let predictions = vec![
            Prediction { class: 8, label: "Bag".into(), score: 0.75 },
            Prediction { class: 0, label: "T-shirt/top".into(), score: 0.25 },
        ];
        let timings = Timings {
            decode: Duration::from_micros(1500),
            transform: Duration::from_micros(250),
            queue: Duration::ZERO,
            compute: Duration::from_millis(12),
        };
        Answer {
            model: "atto".into(),
            version: "1".into(),
            function: Some(ScoreFunction::Sigmoid),
            images: vec![
                Classified {
                    scores: Scores::Labels(predictions),
                    batch_size: 4,
                    device: "cpu".into(),
                    timings
                };
                images
            ],
        }
    }

    fn read(answer: &Answer, shape: Shape, detail: bool) -> Value {
        serde_json::from_slice(&super::json(answer, shape, detail).unwrap()).unwrap()
    }

    #[test]
    fn one_image_is_the_bare_list_that_huggingface_hub_reads() {
        let labels = json!([{"label": "Bag", "score": 0.75}, {"label": "T-shirt/top", "score": 0.25}]);
        assert_eq!(read(&answer(1), Shape::One, false), labels);
        assert_eq!(read(&answer(1), Shape::List, false), json!([labels]));
        assert_eq!(read(&answer(2), Shape::List, false), json!([labels, labels]));
    }

    #[test]
    fn detail_adds_device_batch_and_timings() {
        let detailed = read(&answer(2), Shape::List, true);
        assert_eq!(
            detailed[1],
            json!({
                "model": "atto", "version": "1", "device": "cpu", "index": 1,
                "function_to_apply": "sigmoid", "batch_size": 4,
                "timings_ms": {"decode": 1.5, "transform": 0.25, "queue": 0.0, "compute": 12.0},
                "predictions": [{"label": "Bag", "score": 0.75}, {"label": "T-shirt/top", "score": 0.25}],
            })
        );
        assert_eq!(read(&answer(1), Shape::One, true)["index"], 0);
    }

    #[test]
    fn an_answer_without_images_is_our_fault() {
        assert_eq!(super::json(&answer(0), Shape::One, false).unwrap_err().status(), 500);
    }
}
