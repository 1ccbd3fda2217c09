//! A request for inference as plain data, and what of it the service is asked. Everything is held against the one input and the one
//! output that the model's name has; what does not fit is told with what would.
//!
//! Not here: the size of the images, which the service checks.

use std::time::Duration;

use bytes::{Buf as _, Bytes};
use half::f16;

use super::Error;
use super::error::invalid;
use super::names::{OUTPUT, Target, input_name};
use super::parameter::Parameters;
use super::tensor::Datatype;
use crate::service::{Form, Images, Request, ScoreFunction, Tensor, TensorType, Wanted};

/// Elements of a BYTES tensor. What is kept of each is larger than a tiny element, and should not be many times the request.
pub const MAX_ELEMENTS: usize = 65_536;

/// A request for inference.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InferRequest {
    /// Comes back in the answer; empty where none was given.
    pub id: String,
    /// `timeout` in µs; `priority` is checked, and changes nothing: no model has levels of it.
    pub parameters: Parameters,
    /// Exactly one is right.
    pub inputs: Vec<Input>,
    /// None: all.
    pub outputs: Vec<RequestedOutput>,
}

/// An input tensor, of which nothing has been checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// The name of its elements' type.
    pub datatype: String,
    /// The images of the batch first.
    pub shape: Vec<i64>,
    /// Its elements.
    pub contents: Contents,
}

/// The elements of a tensor, row by row.
#[derive(Clone, Debug, PartialEq)]
pub enum Contents {
    /// Little-endian numbers; of BYTES each element after its length as u32.
    Raw(Bytes),
    /// Numbers that were read already.
    Floats(Vec<f32>),
    /// Elements of BYTES.
    Elements(Vec<Bytes>),
}

/// An output that is asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestedOutput {
    /// Its name.
    pub name: String,
    /// `classification`: how many of the best classes are wanted instead of the tensor.
    pub parameters: Parameters,
}

/// What the service is asked, and how soon.
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) timeout: Option<Duration>,
}

impl InferRequest {
    /// Holds the request against what the name takes.
    pub(super) fn check(self, target: &Target) -> Result<Asked, Error> {
        let timeout = self.parameters.timeout()?;
        self.parameters.whole("priority")?;
        let wanted = wanted(target, &self.outputs)?;
        let images = images(target, self.inputs)?;
        Ok(Asked { request: Request { images, wanted }, timeout })
    }
}

fn wanted(target: &Target, outputs: &[RequestedOutput]) -> Result<Wanted, Error> {
    let output = match outputs {
        [] => return Ok(Wanted::Logits),
        [output] => output,
        several => {
            let names = list(several.iter().map(|output| &*output.name));
            return invalid(format!("{} has one output, {OUTPUT}; the request wants {names}", target.name));
        }
    };
    if output.name != OUTPUT {
        return invalid(format!("{} has no output {:?}; it has {OUTPUT}", target.name, output.name));
    }
    match output.parameters.whole("classification")? {
        None | Some(0) => Ok(Wanted::Logits),
        Some(top_k) => {
            let top_k = i64::try_from(top_k).unwrap_or(i64::MAX);
            Ok(Wanted::Labels { top_k, function: Some(ScoreFunction::None) })
        }
    }
}

fn images(target: &Target, inputs: Vec<Input>) -> Result<Images, Error> {
    let expected = input_name(target.form);
    let [input] = <[Input; 1]>::try_from(inputs).or_else(|inputs| match &inputs[..] {
        [] => invalid(format!("the request has no input; {} takes {expected}", target.name)),
        several => {
            let names = list(several.iter().map(|input| &*input.name));
            invalid(format!("{} takes one input, {expected}; the request has {names}", target.name))
        }
    })?;
    if input.name != expected {
        return invalid(format!("{} has no input {:?}; it takes {expected}", target.name, input.name));
    }
    let datatype: Datatype = input.datatype.parse().map_err(|error| of_input(expected, &error))?;
    let shape: Option<Vec<usize>> = input.shape.iter().map(|size| usize::try_from(*size).ok()).collect();
    let Some(shape) = shape else {
        return invalid(format!("input {expected}: shape {:?} has a negative size", input.shape));
    };
    match target.form {
        Form::Tensor => tensor(target, datatype, &shape, input.contents).map(Images::Tensor),
        Form::Files => files(target, datatype, &shape, input.contents).map(Images::Files),
    }
}

fn tensor(target: &Target, datatype: Datatype, shape: &[usize], contents: Contents) -> Result<Tensor, Error> {
    let number = match datatype {
        Datatype::Fp32 => TensorType::F32,
        Datatype::Fp16 => TensorType::F16,
        Datatype::Bytes => {
            return invalid(format!(
                "input pixels: datatype BYTES; {} takes FP32 or FP16 (image files go to {}{})",
                target.name,
                target.model,
                super::IMAGE_SUFFIX
            ));
        }
    };
    let &[n, channels, height, width] = shape else {
        return invalid(format!("input pixels: shape {shape:?}; [images, 3, height, width] is needed"));
    };
    let data = match contents {
        Contents::Raw(bytes) => bytes,
        Contents::Floats(numbers) if datatype == Datatype::Fp32 => {
            let needed = shape.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
            if needed != Some(numbers.len()) {
                return invalid(format!("input pixels: {} numbers for shape {shape:?}", numbers.len()));
            }
            little_endian(numbers)
        }
        Contents::Floats(_) => return invalid("input pixels: FP16 can be sent as binary data only"),
        Contents::Elements(_) => return invalid(format!("input pixels: its data are not numbers of {datatype}")),
    };
    if let Some(index) = not_finite(number, &data) {
        return invalid(format!("input pixels: number {index} is not finite"));
    }
    Ok(Tensor { number, shape: [n, channels, height, width], data })
}

/// The bytes of numbers, where they are; a machine that writes the large end first copies them.
#[must_use]
pub fn little_endian(mut numbers: Vec<f32>) -> Bytes {
    struct Numbers(Vec<f32>);
    impl AsRef<[u8]> for Numbers {
        fn as_ref(&self) -> &[u8] {
            bytemuck::cast_slice(&self.0)
        }
    }
    if cfg!(target_endian = "big") {
        numbers.iter_mut().for_each(|number| *number = f32::from_bits(number.to_bits().to_le()));
    }
    Bytes::from_owner(Numbers(numbers))
}

/// The first number that is infinite or none at all: whatever came of it would be neither.
fn not_finite(number: TensorType, data: &[u8]) -> Option<usize> {
    match number {
        TensorType::F32 => position(data.as_chunks().0, |bytes| !f32::from_le_bytes(*bytes).is_finite()),
        TensorType::F16 => position(data.as_chunks().0, |bytes| !f16::from_le_bytes(*bytes).is_finite()),
    }
}

/// The first of the numbers that is so. Looked for in strips without an end in their middle, which compilers turn into vectors.
fn position<const BYTES: usize>(numbers: &[[u8; BYTES]], is: impl Fn(&[u8; BYTES]) -> bool) -> Option<usize> {
    const STRIP: usize = 256;
    let has = |strip: &[[u8; BYTES]]| strip.iter().fold(false, |found, number| found | is(number));
    let before = STRIP * numbers.chunks(STRIP).position(has)?;
    numbers[before..].iter().position(is).map(|index| before + index)
}

fn files(target: &Target, datatype: Datatype, shape: &[usize], contents: Contents) -> Result<Vec<Bytes>, Error> {
    if datatype != Datatype::Bytes {
        return invalid(format!(
            "input image: datatype {datatype}; {} takes BYTES (tensors go to {})",
            target.name, target.model
        ));
    }
    let (&[n] | &[n, 1]) = shape else {
        return invalid(format!("input image: shape {shape:?}; [images, 1] is needed"));
    };
    let files = match contents {
        Contents::Raw(bytes) => elements(&bytes).map_err(|error| of_input("image", &error))?,
        Contents::Elements(files) => files,
        Contents::Floats(_) => return invalid("input image: its data are numbers, and not elements of BYTES"),
    };
    if files.len() != n {
        return invalid(format!("input image: {} elements for shape {shape:?}", files.len()));
    }
    Ok(files)
}

/// The elements of a BYTES tensor: each after its length as little-endian u32. Nothing is copied.
///
/// # Errors
/// [`Error::Invalid`] where a length goes over the end.
pub fn elements(raw: &Bytes) -> Result<Vec<Bytes>, Error> {
    let (mut rest, mut elements) = (raw.clone(), Vec::new());
    while !rest.is_empty() {
        let Ok(length) = rest.try_get_u32_le() else {
            return invalid(format!("{} bytes are left after element {}: no length", rest.len(), elements.len()));
        };
        if elements.len() == MAX_ELEMENTS {
            return invalid(format!("more than {MAX_ELEMENTS} elements"));
        }
        let length = length as usize;
        if length > rest.len() {
            let (index, left) = (elements.len(), rest.len());
            return invalid(format!("element {index} says that it has {length} bytes, and {left} are left"));
        }
        elements.push(rest.split_to(length));
    }
    Ok(elements)
}

fn of_input(name: &str, error: &Error) -> Error {
    Error::Invalid(format!("input {name}: {error}"))
}

/// Names that a client sent, at most some of them.
fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 4;
    let all: Vec<&str> = names.collect();
    let more = if all.len() > SHOWN { format!(" and {} more", all.len() - SHOWN) } else { String::new() };
    format!("{}{more}", all.iter().take(SHOWN).map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oip::Parameter;

    fn target(form: Form) -> Target {
        let name = if form == Form::Files { "m_image" } else { "m" };
        Target { name: name.to_owned(), model: "m".to_owned(), form }
    }

    fn input(name: &str, datatype: &str, shape: &[i64], contents: Contents) -> Input {
        Input { name: name.to_owned(), datatype: datatype.to_owned(), shape: shape.to_vec(), contents }
    }

    fn check(form: Form, inputs: Vec<Input>) -> Result<Asked, Error> {
        InferRequest { inputs, ..InferRequest::default() }.check(&target(form))
    }

    fn files_of(asked: Asked) -> Vec<Bytes> {
        match asked.request.images {
            Images::Files(files) => files,
            Images::Tensor(tensor) => panic!("{tensor:?}"),
        }
    }

    #[test]
    fn numbers_are_bytes_where_they_are() {
        let numbers = vec![1.0_f32, -0.0, f32::MIN_POSITIVE, 3.5e30];
        let expected: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let place = numbers.as_ptr().cast::<u8>();
        let bytes = little_endian(numbers);
        assert_eq!((&bytes[..], bytes.as_ptr()), (&expected[..], place));
        assert_eq!(little_endian(Vec::new()), Bytes::new());
    }

    #[test]
    fn elements_come_out_of_raw_bytes_as_they_went_in() {
        let raw = Bytes::from_static(b"\x02\0\0\0ab\0\0\0\0\x01\0\0\0c");
        assert_eq!(elements(&raw).unwrap(), ["ab", "", "c"]);
        assert!(elements(&raw.slice(..5)).unwrap_err().to_string().contains("has 2 bytes, and 1 are left"));
        assert!(elements(&raw.slice(..8)).unwrap_err().to_string().contains("2 bytes are left after element 1"));
        for shape in [&[3][..], &[3, 1]] {
            let input = input("image", "BYTES", shape, Contents::Raw(raw.clone()));
            assert_eq!(files_of(check(Form::Files, vec![input]).unwrap()), ["ab", "", "c"]);
        }
    }

    #[test]
    fn what_does_not_fit_is_told_with_what_would() {
        let floats = |n: usize| Contents::Floats(vec![0.5; n]);
        let raw = || Contents::Raw(Bytes::new());
        let pixels = || input("pixels", "FP32", &[1, 3, 1, 1], floats(3));
        let table = [
            (Form::Tensor, vec![], "no input; m takes pixels"),
            (Form::Tensor, vec![pixels(), pixels()], "takes one input, pixels; the request has \"pixels\", \"pixels\""),
            (Form::Tensor, vec![input("image", "BYTES", &[1, 1], raw())], "no input \"image\"; it takes pixels"),
            (Form::Tensor, vec![input("pixels", "BYTES", &[1, 1], raw())], "image files go to m_image"),
            (Form::Tensor, vec![input("pixels", "UINT8", &[1, 3, 1, 1], raw())], "no model here takes it"),
            (Form::Tensor, vec![input("pixels", "F32", &[1, 3, 1, 1], raw())], "not one of the protocol's"),
            (
                Form::Tensor,
                vec![input("pixels", "FP32", &[3, 1, 1], floats(3))],
                "[images, 3, height, width] is needed",
            ),
            (Form::Tensor, vec![input("pixels", "FP32", &[-1, 3, 1, 1], floats(3))], "a negative size"),
            (Form::Tensor, vec![input("pixels", "FP32", &[1, 3, 1, 1], floats(4))], "4 numbers for shape [1, 3, 1, 1]"),
            (
                Form::Tensor,
                vec![input("pixels", "FP32", &[i64::MAX, i64::MAX, 1, 1], floats(4))],
                "4 numbers for shape",
            ),
            (Form::Tensor, vec![input("pixels", "FP16", &[1, 3, 1, 1], floats(3))], "binary data only"),
            (
                Form::Tensor,
                vec![input("pixels", "FP32", &[1, 3, 1, 1], Contents::Elements(vec![]))],
                "not numbers of FP32",
            ),
            (Form::Files, vec![input("image", "FP32", &[1, 1], raw())], "tensors go to m"),
            (Form::Files, vec![input("image", "BYTES", &[1, 2], raw())], "[images, 1] is needed"),
            (Form::Files, vec![input("image", "BYTES", &[2, 1], raw())], "0 elements for shape [2, 1]"),
            (Form::Files, vec![input("image", "BYTES", &[1], floats(1))], "not elements of BYTES"),
        ];
        for (form, inputs, words) in table {
            let error = check(form, inputs).err().unwrap().to_string();
            assert!(error.contains(words), "{error}: {words}");
        }
    }

    #[test]
    fn an_output_is_the_tensor_or_the_best_classes() {
        let ask = |outputs: &[(&str, Option<Parameter>)]| {
            let output = |(name, k): &(&str, Option<Parameter>)| RequestedOutput {
                name: (*name).to_owned(),
                parameters: Parameters(k.iter().map(|k| ("classification".to_owned(), k.clone())).collect()),
            };
            wanted(&target(Form::Tensor), &outputs.iter().map(output).collect::<Vec<_>>())
        };
        assert_eq!(ask(&[]), Ok(Wanted::Logits));
        assert_eq!(ask(&[("logits", None)]), Ok(Wanted::Logits));
        assert_eq!(ask(&[("logits", Some(Parameter::Integer(0)))]), Ok(Wanted::Logits));
        let best = Wanted::Labels { top_k: 3, function: Some(ScoreFunction::None) };
        assert_eq!(ask(&[("logits", Some(Parameter::Integer(3)))]), Ok(best));
        assert!(ask(&[("prob", None)]).unwrap_err().to_string().contains("no output \"prob\"; it has logits"));
        assert!(ask(&[("logits", None), ("logits", None)]).unwrap_err().to_string().contains("one output"));
        assert!(ask(&[("logits", Some(Parameter::Integer(-1)))]).is_err());
    }

    #[test]
    fn the_first_number_that_is_not_finite_is_named_wherever_it_stands() {
        for (count, at) in [(1, 0), (255, 254), (256, 255), (257, 256), (2000, 1023)] {
            for number in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut numbers = vec![f32::MAX; count];
                let of =
                    |numbers: &[f32]| -> Vec<u8> { numbers.iter().flat_map(|number| number.to_le_bytes()).collect() };
                assert_eq!(not_finite(TensorType::F32, &of(&numbers)), None);
                numbers[at..].fill(number);
                assert_eq!(not_finite(TensorType::F32, &of(&numbers)), Some(at), "{number}");
                let halves: Vec<u8> = numbers.iter().flat_map(|n| f16::from_f32(n.min(9.0)).to_le_bytes()).collect();
                let first = (number < 0.0).then_some(at);
                assert_eq!(not_finite(TensorType::F16, &halves), first, "{number}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_raw_bytes_are_elements_or_refused(raw: Vec<u8>) {
            let raw = Bytes::from(raw);
            if let Ok(elements) = elements(&raw) {
                let back: Vec<u8> = elements
                    .iter()
                    .flat_map(|element| [&(element.len() as u32).to_le_bytes()[..], element].concat())
                    .collect();
                prop_assert_eq!(back, raw);
            }
        }
    }
}
