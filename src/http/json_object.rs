//! A JSON object and nothing else. What serde derives for a struct takes a list too, by the order of its fields, which no client means. Not here: what
//! objects have (`json`, `v2`, `others`).

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// A `T` that came as an object.
#[derive(Debug, Default)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, serde::Deserialize)]
    struct Pair<'a> {
        name: &'a str,
        #[serde(default)]
        count: Option<u32>,
    }

    #[test]
    fn an_object_is_read_and_a_list_of_its_fields_is_not() {
        let read = |text| serde_json::from_str::<Object<Pair<'_>>>(text).map_err(|error| error.to_string());
        assert!(matches!(read(r#"{"name": "a", "count": 2}"#), Ok(Object(Pair { name: "a", count: Some(2) }))));
        assert!(matches!(read(r#"{"name": "a", "more": []}"#), Ok(Object(Pair { name: "a", count: None }))));
        for text in [r#"["a", 2]"#, r#"["a"]"#, "[]", "null", "5", r#""a""#] {
            assert!(read(text).is_err_and(|error| error.contains("expected an object")), "{text}");
        }
        assert!(serde_json::from_str::<Pair<'_>>(r#"["a", 2]"#).is_ok(), "serde has learnt it: this is not needed");
    }
}
