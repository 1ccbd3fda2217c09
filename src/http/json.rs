//! The JSON form, that of Hugging Face's inference API: `{"inputs": base64 | [base64, …], "parameters": {…}}`.
//!
//! It is parsed straight into the fields below. Strings are borrowed from the body and unknown fields are skipped, so that a
//! hostile body of 16 MiB makes no tree of many times its size. Errors name the field.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_PAD_INDIFFERENT as STANDARD, URL_SAFE_PAD_INDIFFERENT as URL_SAFE};
use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::Value;

use utoipa::ToSchema;
use utoipa::openapi::schema::ObjectBuilder;
use utoipa::openapi::{RefOr, Schema, Type};

use super::answer_options::{AnswerOptions, check_top_k, parse_function};
use super::docs::{Operation, images, schemas};
use super::error::Error;
use super::form::{Form, MAX_IMAGES, Shape, too_many};
use super::json_object::Object;

/// Images in base64, as Hugging Face's inference API takes them. Fields that are not known are ignored.
#[derive(serde::Deserialize, ToSchema)]
#[schema(as = Images)]
pub(super) struct Body<'a> {
    /// One image, answered by its labels, or a list of them, answered by a list.
    #[serde(borrow)]
    #[schema(schema_with = images_in_base64)]
    inputs: Inputs<'a>,
    #[serde(default, deserialize_with = "parameters")]
    #[schema(value_type = Option<Parameters>)]
    parameters: Option<Object<Parameters>>,
}

/// An error names the field.
fn parameters<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Object<Parameters>>, D::Error> {
    Option::deserialize(deserializer).map_err(|error| D::Error::custom(format_args!("`parameters`: {error}")))
}

fn images_in_base64() -> RefOr<Schema> {
    let list = Schema::from(schemas::several(schemas::base64()));
    Operation::any_of([Schema::from(schemas::base64()).into(), list.into()])
}

enum Inputs<'a> {
    One(Cow<'a, str>),
    List(Vec<Text<'a>>),
    TooMany,
}

struct Text<'a>(Cow<'a, str>);

/// Options of the answer.
#[derive(Default, serde::Deserialize, ToSchema)]
#[schema(as = ImagesParameters)]
struct Parameters {
    /// Classes in the answer.
    #[schema(schema_with = top_k)]
    top_k: Option<TopK>,
    /// How logits become scores.
    #[schema(schema_with = functions)]
    function_to_apply: Option<Function>,
}

fn top_k() -> ObjectBuilder {
    // what is too large is clamped
    schemas::or_null(schemas::whole(1).maximum(None::<usize>), Type::Integer)
}

fn functions() -> ObjectBuilder {
    let all = images::FUNCTIONS.map(Value::from).into_iter().chain([Value::Null]);
    schemas::or_null(schemas::text(), Type::String).enum_values(Some(all))
}

struct TopK(i64);

struct Function(String);

/// Reads a JSON body.
///
/// # Errors
/// [`Error::Malformed`], which names the field and for an image its index in the list.
pub(super) fn parse(body: &[u8]) -> Result<Form, Error> {
    let Body { inputs, parameters } = serde_json::from_slice(body)
        .map_err(|error| Error::Malformed(format!("the JSON is not understood: {error}")))?;
    let Object(parameters) = parameters.unwrap_or_default();
    let options = AnswerOptions {
        top_k: parameters.top_k.map(|TopK(number)| check_top_k(number)).transpose()?,
        function: parameters.function_to_apply.map(|Function(name)| parse_function(&name)).transpose()?,
    };
    let (images, shape) = match inputs {
        Inputs::One(text) => (vec![image(&text, "inputs")?], Shape::One),
        Inputs::TooMany => return Err(too_many()),
        Inputs::List(list) if list.is_empty() => return Err(Error::Malformed("inputs is an empty list".into())),
        Inputs::List(list) => {
            let images = list.iter().enumerate().map(|(index, Text(text))| image(text, &format!("inputs[{index}]")));
            (images.collect::<Result<_, _>>()?, Shape::List)
        }
    };
    Ok(Form { images, shape, options, ignored: Vec::new() })
}

/// The image of base64 or of a `data:` URL.
pub(super) fn image(text: &str, field: &str) -> Result<Bytes, Error> {
    let text = text.trim_ascii();
    if starts_with(text, "http://") || starts_with(text, "https://") {
        return Err(Error::Malformed(format!(
            "{field} is a URL, which is not fetched; send the image itself in base64"
        )));
    }
    let text = if starts_with(text, "data:") {
        match text.split_once(',') {
            Some((head, text)) if head.to_ascii_lowercase().ends_with(";base64") => text,
            _ => return Err(Error::Malformed(format!("{field} is a data: URL without ;base64"))),
        }
    } else {
        text
    };
    if text.is_empty() {
        return Err(Error::Malformed(format!("{field} is empty; it must be an image in base64")));
    }
    // MIME's base64, as Python's encodebytes and the command base64 write it, is broken into lines.
    let whole = if text.bytes().any(|byte| byte.is_ascii_whitespace()) {
        Cow::Owned(text.split_ascii_whitespace().collect::<String>())
    } else {
        Cow::Borrowed(text)
    };
    // The standard alphabet first, for most send that; only what fails is looked through for the URL-safe one.
    let decoded = STANDARD.decode(whole.as_bytes()).or_else(|error| {
        let url_safe = whole.bytes().any(|byte| matches!(byte, b'-' | b'_'));
        if url_safe { URL_SAFE.decode(whole.as_bytes()) } else { Err(error) }
    });
    decoded.map(Bytes::from).map_err(|error| Error::Malformed(format!("{field} is not base64: {error}")))
}

fn starts_with(text: &str, scheme: &str) -> bool {
    text.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme))
}

impl<'de: 'a, 'a> Deserialize<'de> for Inputs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InputsVisitor;
        impl<'de> Visitor<'de> for InputsVisitor {
            type Value = Inputs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`inputs` to be a base64 string or a list of them")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Inputs::One(text.into()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Inputs::One(text.to_owned().into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = list.next_element()? {
                    if texts.len() == MAX_IMAGES {
                        while list.next_element::<IgnoredAny>()?.is_some() {}
                        return Ok(Inputs::TooMany);
                    }
                    texts.push(text);
                }
                Ok(Inputs::List(texts))
            }
        }
        deserializer.deserialize_any(InputsVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("each of `inputs` to be a base64 string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(text.into()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(text.to_owned().into()))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

impl<'de> Deserialize<'de> for TopK {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TopKVisitor;
        impl Visitor<'_> for TopKVisitor {
            type Value = TopK;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`top_k` to be a whole number")
            }

            fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
                Ok(TopK(number))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
                Ok(TopK(i64::try_from(number).unwrap_or(i64::MAX)))
            }

            /// JSON has one kind of numbers: 3.0 is a whole one too. What is too large is clamped.
            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Self::Value, E> {
                if number.fract() == 0.0 {
                    Ok(TopK(number as i64))
                } else {
                    Err(E::invalid_value(serde::de::Unexpected::Float(number), &self))
                }
            }
        }
        deserializer.deserialize_i64(TopKVisitor)
    }
}

impl<'de> Deserialize<'de> for Function {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FunctionVisitor;
        impl Visitor<'_> for FunctionVisitor {
            type Value = Function;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`function_to_apply` to be softmax, sigmoid or none")
            }

            fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Function(name.to_owned()))
            }
        }
        deserializer.deserialize_str(FunctionVisitor)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::service::ScoreFunction;

    fn refused(body: &str) -> String {
        let error = parse(body.as_bytes()).unwrap_err();
        assert_eq!(error.status(), 400, "{body}");
        error.to_string()
    }

    #[test]
    fn one_string_is_one_image_and_a_list_is_a_list_even_of_one() {
        let one = parse(br#"{"inputs": "aGVsbG8="}"#).unwrap();
        assert_eq!((one.images, one.shape), (vec![Bytes::from("hello")], Shape::One));
        let list = parse(br#"{"inputs": ["aGVsbG8="]}"#).unwrap();
        assert_eq!((list.images, list.shape), (vec![Bytes::from("hello")], Shape::List));
        let two = parse(br#"{"inputs": ["aGVsbG8=", "aGk="]}"#).unwrap();
        assert_eq!(two.images, ["hello", "hi"]);
    }

    #[test]
    fn parameters_are_read_and_null_is_none() {
        let options = |body: &str| parse(body.as_bytes()).unwrap().options;
        let all = r#"{"inputs": "aGk", "parameters": {"top_k": 2, "function_to_apply": "sigmoid"}}"#;
        assert_eq!(options(all), AnswerOptions { top_k: Some(2), function: Some(ScoreFunction::Sigmoid) });
        let nulls = r#"{"parameters": {"top_k": null, "function_to_apply": null}, "inputs": "aGk"}"#;
        assert_eq!(options(nulls), AnswerOptions::default());
        assert_eq!(options(r#"{"inputs": "aGk", "parameters": null}"#), AnswerOptions::default());
        let with_point = r#"{"inputs": "aGk", "parameters": {"top_k": 3.0}}"#;
        assert_eq!(options(with_point).top_k, Some(3));
        let huge = r#"{"inputs": "aGk", "parameters": {"top_k": 18446744073709551615}}"#;
        assert_eq!(options(huge).top_k, Some(i64::MAX), "clamped to the classes later");
    }

    #[test]
    fn fields_of_other_tasks_are_skipped() {
        let body =
            r#"{"inputs": "aGk", "options": {"wait_for_model": true}, "parameters": {"candidate_labels": ["a"]}}"#;
        assert_eq!(parse(body.as_bytes()).unwrap().images, ["hi"]);
    }

    #[test]
    fn base64_may_lack_padding_be_broken_into_lines_and_stand_in_a_data_url() {
        for text in ["aGVsbG8=", "aGVsbG8", "aGVs\\nbG8=\\n", "data:image/png;base64,aGVsbG8=", "DATA:;BASE64,aGVsbG8"]
        {
            let body = format!(r#"{{"inputs": "{text}"}}"#);
            assert_eq!(parse(body.as_bytes()).unwrap().images, ["hello"], "{text}");
        }
    }

    #[test]
    fn base64_of_either_alphabet_is_decoded_but_not_of_both_in_one_image() {
        let image = |text: &str| parse(format!(r#"{{"inputs": "{text}"}}"#).as_bytes());
        let bytes: &[u8] = &[0xfb, 0xff, 0xbe, 0xfb];
        for text in ["+/+++w==", "+/+++w", "-_---w==", "-_---w", "data:image/png;base64,-_---w"] {
            assert_eq!(image(text).unwrap().images, [bytes], "{text}");
        }
        let mixed = image("+_+++w==").unwrap_err();
        assert!(mixed.to_string().contains("inputs is not base64"), "{mixed}");
    }

    #[test]
    fn a_url_is_not_fetched() {
        for url in ["http://169.254.169.254/latest/meta-data", "HTTPS://example.org/cat.jpg"] {
            assert!(refused(&format!(r#"{{"inputs": "{url}"}}"#)).contains("not fetched"));
            assert!(refused(&format!(r#"{{"inputs": ["aGk", "{url}"]}}"#)).contains("inputs[1]"));
        }
    }

    #[test]
    fn an_error_names_the_field() {
        for (body, named) in [
            (r#"{}"#, "`inputs`"),
            (r#"{"inputs": 5}"#, "`inputs`"),
            (r#"{"inputs": null}"#, "`inputs`"),
            (r#"{"inputs": {"image": "aGk"}}"#, "`inputs`"),
            (r#"{"inputs": ["aGk", 5]}"#, "each of `inputs`"),
            (r#"{"inputs": []}"#, "inputs"),
            (r#"{"inputs": ""}"#, "inputs is empty"),
            (r#"{"inputs": "not base64!"}"#, "inputs is not base64"),
            (r#"{"inputs": ["aGk", "!"]}"#, "inputs[1] is not base64"),
            (r#"{"inputs": "data:image/svg+xml,<svg/>"}"#, "data: URL without ;base64"),
            (r#"{"inputs": "aGk", "parameters": 5}"#, "`parameters`"),
            (r#"{"inputs": "aGk", "parameters": {"top_k": "5"}}"#, "`top_k`"),
            (r#"{"inputs": "aGk", "parameters": {"top_k": 2.5}}"#, "`top_k`"),
            (r#"{"inputs": "aGk", "parameters": {"top_k": 0}}"#, "top_k is 0"),
            (r#"{"inputs": "aGk", "parameters": {"function_to_apply": 1}}"#, "`function_to_apply`"),
            (r#"{"inputs": "aGk", "parameters": {"function_to_apply": "relu"}}"#, "softmax, sigmoid and none"),
            (r#"{"inputs": "aGk""#, "EOF"),
            (r#"{"inputs": "aGk"} more"#, "trailing"),
        ] {
            let error = refused(body);
            assert!(error.contains(named), "{body}: {error}");
        }
    }

    #[test]
    fn a_list_of_too_many_images_is_too_large() {
        let list = |images: usize| format!(r#"{{"inputs": [{}"a"]}}"#, "\"a\",".repeat(images - 1));
        assert_eq!(parse(list(MAX_IMAGES + 1).as_bytes()).unwrap_err().status(), 413);
        assert_eq!(parse(list(MAX_IMAGES).as_bytes()).unwrap_err().status(), 400, "\"a\" is not base64");
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_a_stack_overflow() {
        let body = format!(r#"{{"inputs": "aGk", "x": {}"#, "[".repeat(1 << 20));
        assert!(refused(&body).contains("EOF"));
    }
}
