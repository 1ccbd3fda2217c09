//! An answer as plain data: the output tensor, or the best classes as text. Not here: JSON and messages.

use bytes::Bytes;

use super::names::{OUTPUT, Target};
use super::tensor::Datatype;
use crate::service::{Answer, Prediction, Scores};

/// The answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub struct InferAnswer {
    /// The name that was asked for.
    pub model_name: String,
    /// The version that answered.
    pub model_version: String,
    /// The request's id.
    pub id: String,
    /// One.
    pub outputs: Vec<Output>,
}

/// An output tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Its name.
    pub name: &'static str,
    /// `[images, classes]`, or of the best classes `[images, k]`.
    pub shape: [usize; 2],
    /// Its elements.
    pub contents: OutputContents,
}

/// The elements of an output, row by row.
#[derive(Clone, Debug, PartialEq)]
pub enum OutputContents {
    /// Logits.
    Floats(Vec<f32>),
    /// `score:class:label`, by falling score; the score is the logit.
    Texts(Vec<String>),
}

impl Output {
    /// The type of its elements.
    #[must_use]
    pub fn datatype(&self) -> Datatype {
        match self.contents {
            OutputContents::Floats(_) => Datatype::Fp32,
            OutputContents::Texts(_) => Datatype::Bytes,
        }
    }

    /// Its elements as bytes: little-endian numbers; of BYTES each element after its length as u32.
    #[must_use]
    pub fn raw(&self) -> Bytes {
        match &self.contents {
            OutputContents::Floats(numbers) => numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
            OutputContents::Texts(texts) => {
                let element = |text: &String| [&(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat();
                texts.iter().flat_map(element).collect()
            }
        }
    }
}

/// The protocol's answer of the service's.
pub(super) fn of(target: Target, id: String, answer: Answer) -> InferAnswer {
    let images = answer.images.len();
    let (mut numbers, mut texts) = (Vec::new(), Vec::new());
    for image in answer.images {
        match image.scores {
            Scores::Logits(logits) => numbers.extend(logits),
            Scores::Labels(predictions) => texts.extend(predictions.iter().map(text)),
        }
    }
    // all images were asked for the same
    let contents = if texts.is_empty() { OutputContents::Floats(numbers) } else { OutputContents::Texts(texts) };
    let elements = match &contents {
        OutputContents::Floats(numbers) => numbers.len(),
        OutputContents::Texts(texts) => texts.len(),
    };
    let output = Output { name: OUTPUT, shape: [images, elements / images.max(1)], contents };
    InferAnswer { model_name: target.name, model_version: answer.version, id, outputs: vec![output] }
}

/// With the shortest digits that give the score back.
fn text(Prediction { class, label, score }: &Prediction) -> String {
    format!("{score}:{class}:{label}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_bytes_are_numbers_or_elements_with_their_lengths() {
        let output = |contents| Output { name: OUTPUT, shape: [1, 2], contents };
        let numbers = output(OutputContents::Floats(vec![1.0, -2.5]));
        assert_eq!(numbers.raw(), [1_f32.to_le_bytes(), (-2.5_f32).to_le_bytes()].concat());
        let texts = output(OutputContents::Texts(vec!["a".into(), "bcd".into()]));
        assert_eq!(&texts.raw()[..], b"\x01\0\0\0a\x03\0\0\0bcd");
        assert_eq!((numbers.datatype(), texts.datatype()), (Datatype::Fp32, Datatype::Bytes));
    }

    #[test]
    fn a_class_is_its_score_its_index_and_its_label() {
        let prediction = |score| Prediction { class: 7, label: "Sneaker".into(), score };
        assert_eq!(text(&prediction(8.25)), "8.25:7:Sneaker");
        assert_eq!(text(&prediction(-1e-7)), "-0.0000001:7:Sneaker");
    }
}
