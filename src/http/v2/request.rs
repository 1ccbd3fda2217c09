//! The body of a request for inference: JSON, and behind it the tensors that come as bytes. Not here: what of it fits the model (`oip`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder};
use utoipa::openapi::{RefOr, Schema, Type};

use crate::http::Error;
use crate::http::contents::Data;
use crate::http::docs::{Operation, schemas};
use crate::http::json_object::Object;
use crate::oip::{Contents, InferRequest, Input, Parameter, Parameters, RequestedOutput};

/// Parameters of one object: few mean anything, and what is kept of one is larger than what is sent.
const MAX_PARAMETERS: usize = 64;

/// A request, and in which form its answer is to come.
#[derive(Debug, PartialEq)]
pub(super) struct Parsed {
    pub(super) request: InferRequest,
    /// Outputs as bytes behind the JSON.
    pub(super) binary: bool,
}

/// A request for inference.
#[derive(Deserialize, ToSchema)]
#[schema(as = InferRequest)]
pub(super) struct Json {
    /// The answer has it too.
    #[serde(default)]
    id: Option<String>,
    /// `timeout` (µs, from admission to answer), `binary_data_output`; others are ignored.
    #[serde(default)]
    #[schema(schema_with = parameters)]
    parameters: Named,
    /// The model's one input.
    #[schema(value_type = Vec<JsonInput>)]
    inputs: Vec<Object<JsonInput>>,
    /// Which outputs are wanted, and how; without it the model's one output in JSON.
    #[serde(default)]
    #[schema(value_type = Option<Vec<JsonOutput>>)]
    outputs: Option<Vec<Object<JsonOutput>>>,
}

/// A tensor, its elements in `data` or, with the parameter `binary_data_size`, behind the JSON.
#[derive(Deserialize, ToSchema)]
#[schema(as = InferInput)]
struct JsonInput {
    /// `pixels` of `NAME`, `image` of `NAME_image`.
    name: String,
    /// `FP32` or `FP16` of `pixels`, `BYTES` of `image`.
    datatype: String,
    /// `[n, 3, H, W]` of `pixels`, `[n, 1]` or `[n]` of `image`.
    shape: Vec<i64>,
    /// `binary_data_size`.
    #[serde(default)]
    #[schema(schema_with = parameters)]
    parameters: Named,
    /// Numbers or base64, in one list or in lists of lists.
    #[schema(schema_with = elements)]
    data: Option<Data>,
}

/// How an output is wanted.
#[derive(Deserialize, ToSchema)]
#[schema(as = InferRequestedOutput)]
struct JsonOutput {
    /// `logits`.
    name: String,
    /// `classification` (the best k classes as text instead of logits), `binary_data`.
    #[serde(default)]
    #[schema(schema_with = parameters)]
    parameters: Named,
}

/// What the document says of parameters.
pub(super) fn parameters() -> RefOr<Schema> {
    Operation::any_of([schemas::any_object(), Schema::from(ObjectBuilder::new().schema_type(Type::Null)).into()])
}

fn elements() -> ArrayBuilder {
    ArrayBuilder::new().items(schemas::anything())
}

/// Parameters as JSON has them. Values that are lists, objects or null mean nothing to anybody here and are left out.
#[derive(Debug, Default)]
pub(super) struct Named(pub(super) Parameters);

/// Reads a body whose first `json` bytes are JSON.
///
/// # Errors
/// [`Error::Malformed`], which names what is wrong.
pub(super) fn parse(body: &Bytes, json: usize) -> Result<Parsed, Error> {
    let Some((text, _)) = body.split_at_checked(json) else {
        let has = body.len();
        return malformed(format!("inference-header-content-length is {json}, and the body has {has} bytes"));
    };
    let Object(parsed): Object<Json> = serde_json::from_slice(text)
        .map_err(|error| Error::Malformed(format!("the JSON is not understood: {error}")))?;
    let mut tail = body.slice(json..);
    let inputs =
        parsed.inputs.into_iter().map(|Object(input)| read_input(input, &mut tail)).collect::<Result<_, _>>()?;
    if !tail.is_empty() {
        return malformed(format!("{} bytes are left behind the binary data of all inputs", tail.len()));
    }
    let Named(parameters) = parsed.parameters;
    let outputs: Vec<JsonOutput> =
        parsed.outputs.unwrap_or_default().into_iter().map(|Object(output)| output).collect();
    let mut binary = parameters.flag("binary_data_output")?.unwrap_or(false);
    for output in &outputs {
        binary = output.parameters.0.flag("binary_data")?.unwrap_or(binary);
        refuse_shared_memory(&output.name, &output.parameters.0)?;
    }
    let output = |JsonOutput { name, parameters: Named(parameters) }| RequestedOutput { name, parameters };
    let outputs = outputs.into_iter().map(output).collect();
    let request = InferRequest { id: parsed.id.unwrap_or_default(), parameters, inputs, outputs };
    Ok(Parsed { request, binary })
}

/// An input, its bytes taken from those that are left behind the JSON where it has no `data`.
fn read_input(input: JsonInput, tail: &mut Bytes) -> Result<Input, Error> {
    let JsonInput { name, datatype, shape, parameters: Named(parameters), data } = input;
    refuse_shared_memory(&name, &parameters)?;
    let contents = match (data, parameters.whole("binary_data_size")?) {
        (Some(data), None) => data.contents(&datatype),
        (None, Some(size)) => match usize::try_from(size) {
            Ok(size) if size <= tail.len() => Contents::Raw(tail.split_to(size)),
            _ => {
                let left = tail.len();
                return malformed(format!(
                    "input {name:?}: binary_data_size is {size}, and {left} bytes are left behind the JSON, whose length \
                     inference-header-content-length says"
                ));
            }
        },
        (Some(_), Some(_)) => return malformed(format!("input {name:?} has data and binary_data_size; one is needed")),
        (None, None) => return malformed(format!("input {name:?} has neither data nor binary_data_size")),
    };
    Ok(Input { name, datatype, shape, contents })
}

fn refuse_shared_memory(tensor: &str, parameters: &Parameters) -> Result<(), Error> {
    match parameters.0.keys().find(|name| name.starts_with("shared_memory_")) {
        Some(name) => malformed(format!("{tensor:?} has {name}; shared memory is not served")),
        None => Ok(()),
    }
}

fn malformed<T>(why: String) -> Result<T, Error> {
    Err(Error::Malformed(why))
}

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NamedVisitor;
        impl<'de> Visitor<'de> for NamedVisitor {
            type Value = Named;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`parameters` to be an object")
            }

            fn visit_unit<E>(self) -> Result<Named, E> {
                Ok(Named::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named, A::Error> {
                let mut all = BTreeMap::new();
                while let Some((name, Value(value))) = map.next_entry::<Cow<'_, str>, Value>()? {
                    if all.len() == MAX_PARAMETERS {
                        return Err(A::Error::custom(format_args!("more than {MAX_PARAMETERS} parameters")));
                    }
                    all.extend(value.map(|value| (name.into_owned(), value)));
                }
                Ok(Named(Parameters(all)))
            }
        }
        deserializer.deserialize_any(NamedVisitor)
    }
}

/// The value of a parameter; None of what none may be.
struct Value(Option<Parameter>);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueVisitor;
        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a parameter")
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
                Ok(Value(Some(Parameter::Bool(flag))))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
                Ok(Value(Some(Parameter::Integer(number.into()))))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
                Ok(Value(Some(Parameter::Integer(number.into()))))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
                Ok(Value(Some(Parameter::Double(number))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Value, E> {
                Ok(Value(Some(Parameter::Text(text.to_owned()))))
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value(None))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Value(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Value(None))
            }
        }
        deserializer.deserialize_any(ValueVisitor)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(json: &str, tail: &[u8]) -> Result<Parsed, String> {
        parse(&[json.as_bytes(), tail].concat().into(), json.len()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_sizes_of_binary_inputs_are_those_of_the_bytes_behind_the_json() {
        let json = r#"{"id": "a", "parameters": {"binary_data_output": true, "x": [1], "y": {"z": 2}, "n": null},
            "inputs": [{"name": "a", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}},
                       {"name": "b", "datatype": "FP32", "shape": [1], "data": [7]},
                       {"name": "c", "datatype": "BYTES", "shape": [0], "parameters": {"binary_data_size": 0}},
                       {"name": "d", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 2}}]}"#;
        let Parsed { request, binary } = read(json, b"abcdef").unwrap();
        assert!(binary);
        assert_eq!((request.id.as_str(), request.parameters.0.len()), ("a", 1));
        let contents: Vec<Contents> = request.inputs.into_iter().map(|input| input.contents).collect();
        let raw = |text: &'static str| Contents::Raw(Bytes::from_static(text.as_bytes()));
        assert_eq!(contents, [raw("abcd"), Contents::Floats(vec![7.0]), raw(""), raw("ef")]);
        assert!(read(json, b"abcdefg").unwrap_err().contains("1 bytes are left behind"));
        assert!(read(json, b"abcde").unwrap_err().contains("\"d\": binary_data_size is 2, and 1 bytes are left"));
        assert!(parse(&Bytes::from_static(b"{}"), 3).unwrap_err().to_string().contains("is 3, and the body has 2"));
    }

    #[test]
    fn what_an_output_says_goes_before_what_the_request_says() {
        let read = |all: &str, output: &str| {
            let json = format!(r#"{{"inputs": [], "parameters": {{{all}}}, "outputs": [{{"name": "o"{output}}}]}}"#);
            read(&json, b"").unwrap().binary
        };
        assert!(!read("", ""));
        assert!(read(r#""binary_data_output": true"#, ""));
        assert!(read(r#""binary_data_output": false"#, r#", "parameters": {"binary_data": true}"#));
        assert!(!read(r#""binary_data_output": true"#, r#", "parameters": {"binary_data": false}"#));
    }

    proptest! {
        #[test]
        fn any_body_is_read_or_refused(
            start in r#"|\{|\{"inputs":\[|\{"inputs":\[\{"name":"a","datatype":"FP32","shape":\[1\],("data":)?"#,
            rest: Vec<u8>,
            json in 0_usize..64,
        ) {
            let body = Bytes::from([start.as_bytes(), &rest].concat());
            for json in [json, body.len()] {
                if let Err(error) = parse(&body, json) {
                    prop_assert_eq!(error.status(), 400);
                }
            }
        }

        #[test]
        fn any_bytes_behind_the_json_come_out_as_they_went_in(first: Vec<u8>, second: Vec<u8>) {
            let input = |size: usize| serde_json::json!({
                "name": "a", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": size}
            });
            let json = serde_json::json!({ "inputs": [input(first.len()), input(second.len())] }).to_string();
            let parsed = read(&json, &[&first[..], &second].concat()).unwrap();
            let contents: Vec<Contents> = parsed.request.inputs.into_iter().map(|input| input.contents).collect();
            prop_assert_eq!(contents, [Contents::Raw(first.into()), Contents::Raw(second.into())]);
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let many: Vec<String> = (0..65).map(|index| format!("\"p{index}\": 1")).collect();
        let many = format!(r#"{{"inputs": [], "parameters": {{{}}}}}"#, many.join(","));
        let input = |rest: &str| format!(r#"{{"inputs": [{{"name": "a", "datatype": "FP32", "shape": [1]{rest}}}]}}"#);
        for (json, words) in [
            ("[]".to_owned(), "not understood"),
            ("{}".to_owned(), "missing field `inputs`"),
            (r#"{"inputs": [{"name": "a"}]}"#.to_owned(), "missing field `datatype`"),
            (r#"{"inputs": [], "id": 5}"#.to_owned(), "expected a string"),
            (input(""), "neither data nor"),
            (input(r#", "data": [1], "parameters": {"binary_data_size": 4}"#), "one is needed"),
            (input(r#", "parameters": {"binary_data_size": -4}"#), "parameter binary_data_size is -4"),
            (input(r#", "parameters": {"binary_data_size": 4}"#), "0 bytes are left"),
            (input(r#", "parameters": {"shared_memory_region": "x"}"#), "not served"),
            (many, "more than 64 parameters"),
        ] {
            let error = read(&json, b"").unwrap_err();
            assert!(error.contains(words), "{json}: {error}");
        }
    }
}
