//! Schemas of what no type of ours has: image files, base64, words of a list. Not here: which route takes them.

use serde_json::Value;
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, ArrayItems, KnownFormat, ObjectBuilder, SchemaType};
use utoipa::openapi::{RefOr, Schema, SchemaFormat, Type};

/// A sample of the demo models, in base64.
pub(crate) fn sample() -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(include_bytes!("../../../models/images/ankle-boot.png"))
}

/// Any text.
pub(crate) fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// Any text, where a schema is meant.
pub(crate) fn any_text() -> RefOr<Schema> {
    Schema::from(text()).into()
}

/// One of these words.
pub(crate) fn words(all: &[&str]) -> ObjectBuilder {
    text().enum_values(Some(all.iter().copied()))
}

/// A whole number of at least `least`.
pub(crate) fn whole(least: usize) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(least)).maximum(Some(usize::MAX))
}

/// The same, or null.
pub(crate) fn or_null(schema: ObjectBuilder, kind: Type) -> ObjectBuilder {
    schema.schema_type(SchemaType::from_iter([kind, Type::Null]))
}

/// Yes or no, as a query has it.
pub(crate) fn flag() -> ObjectBuilder {
    words(&["0", "1", "false", "true"]).default(Some("0".into()))
}

/// The bytes of a file.
pub(crate) fn file() -> ObjectBuilder {
    text().format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)))
}

/// An image file in base64.
pub(crate) fn base64() -> ObjectBuilder {
    text()
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Byte)))
        .content_encoding("base64")
        .min_length(Some(1))
        .description(Some("An image file in base64, of the standard or the URL-safe alphabet, or a data: URL with it."))
}

/// One thing or more.
pub(crate) fn several(items: impl Into<ArrayItems>) -> ArrayBuilder {
    ArrayBuilder::new().items(items).min_items(Some(1))
}

/// Any object.
pub(crate) fn any_object() -> RefOr<Schema> {
    Schema::from(ObjectBuilder::new().additional_properties(Some(AdditionalProperties::FreeForm(true)))).into()
}

/// Numbers by name.
pub(crate) fn numbers_by_name() -> RefOr<Schema> {
    by_name(ObjectBuilder::new().schema_type(Type::Number))
}

/// Texts by name.
pub(crate) fn texts_by_name() -> RefOr<Schema> {
    by_name(text())
}

fn by_name(values: ObjectBuilder) -> RefOr<Schema> {
    Schema::from(ObjectBuilder::new().additional_properties(Some(Schema::from(values)))).into()
}

/// Anything that JSON has.
pub(crate) fn anything() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::AnyValue)
}

/// The schema with a keyword that `utoipa` has no word for.
pub(crate) fn with_keyword(schema: ObjectBuilder, keyword: &str, value: Value) -> ObjectBuilder {
    schema.extensions(Some([(keyword, value)].into_iter().collect()))
}
