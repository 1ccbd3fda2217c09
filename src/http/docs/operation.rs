//! What the document says of one method of one path. Not here: OpenAPI's own types (`utoipa`), which this puts together in the words that the routes need.

use utoipa::ToSchema;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{self, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, SchemaType};
use utoipa::openapi::{Content, Object, Ref, RefOr, Required, Response, ResponseBuilder, Schema, Type};

use super::refusals::{self, Shape};
use super::{schemas, security};
use crate::auth::Need;

/// What is said of a method of a path, and the schemas that it speaks of.
#[derive(Clone)]
pub(crate) struct Operation {
    told: path::Operation,
    schemas: Vec<(String, RefOr<Schema>)>,
    shape: Shape,
}

impl Operation {
    /// `id` is what generated clients call it, `tag` the group that it is listed in. Anything may meet a fault of ours.
    pub(crate) fn new(id: &str, tag: &str, summary: &str) -> Self {
        let told = path::OperationBuilder::new().operation_id(Some(id)).tag(tag).summary(Some(summary)).build();
        Self { told, schemas: Vec::new(), shape: Shape::Plain }.refuses(&[500])
    }

    /// More than the summary says.
    pub(crate) fn text(mut self, text: &str) -> Self {
        self.told.description = Some(text.to_owned());
        self
    }

    /// The same under another name, for a second path.
    pub(crate) fn called(mut self, id: &str) -> Self {
        self.told.operation_id = Some(id.to_owned());
        self
    }

    /// The same in another group.
    pub(crate) fn tagged(mut self, tag: &str) -> Self {
        self.told.tags = Some(vec![tag.to_owned()]);
        self
    }

    /// The same of a version that the path names.
    pub(crate) fn of_version(self) -> Self {
        let id = format!("{}OfVersion", self.told.operation_id.as_deref().unwrap_or_default());
        self.called(&id).path("version", "A version or a label of one.", "1")
    }

    /// A part of the path. What is no text is refused.
    pub(crate) fn path(self, name: &str, description: &str, example: &str) -> Self {
        let parameter = described(name, ParameterIn::Path, description).required(Required::True);
        self.parameter(parameter.schema(Some(schemas::text())).example(Some(example.into()))).refuses(&[400])
    }

    /// A parameter of the query, which may be left out.
    pub(crate) fn query(self, name: &str, description: &str, schema: impl Into<RefOr<Schema>>) -> Self {
        self.parameter(described(name, ParameterIn::Query, description).schema(Some(schema)))
    }

    /// A header, which may be left out.
    pub(crate) fn header(self, name: &str, description: &str, schema: impl Into<RefOr<Schema>>) -> Self {
        self.parameter(described(name, ParameterIn::Header, description).schema(Some(schema)))
    }

    /// Any parameter.
    pub(crate) fn parameter(mut self, parameter: ParameterBuilder) -> Self {
        self.told.parameters.get_or_insert_default().push(parameter.build().into());
        self
    }

    /// A body in one of these types.
    pub(crate) fn body<S: Into<RefOr<Schema>>>(
        self,
        required: bool,
        description: &str,
        contents: impl IntoIterator<Item = (&'static str, S)>,
    ) -> Self {
        let contents = contents.into_iter().map(|(kind, schema)| (kind, Content::new(Some(schema))));
        self.body_of(required, description, contents.collect())
    }

    /// A body in one of these types, with all that is said of each.
    pub(crate) fn body_of(mut self, required: bool, text: &str, contents: Vec<(&'static str, Content)>) -> Self {
        let required = if required { Required::True } else { Required::False };
        let mut body = RequestBody::builder().description(Some(text)).required(Some(required));
        for (kind, content) in contents {
            body = body.content(kind, content);
        }
        self.told.request_body = Some(body.build().into());
        self
    }

    /// A body of JSON.
    pub(crate) fn json_body<T: ToSchema>(mut self, required: bool, description: &str) -> Self {
        let schema = self.of::<T>();
        self.body(required, description, [("application/json", schema)])
    }

    /// 200 with a body of one of these types.
    pub(crate) fn answers<S: Into<RefOr<Schema>>>(
        self,
        description: &str,
        contents: impl IntoIterator<Item = (&'static str, S)>,
    ) -> Self {
        let mut response = ResponseBuilder::new().description(description);
        for (kind, schema) in contents {
            response = response.content(kind, Content::new(Some(schema)));
        }
        self.response("200", response.build())
    }

    /// 200 with JSON.
    pub(crate) fn json<T: ToSchema>(mut self, description: &str) -> Self {
        let schema = self.of::<T>();
        self.answers(description, [("application/json", schema)])
    }

    /// 200 with a list in JSON.
    pub(crate) fn list<T: ToSchema>(mut self, description: &str) -> Self {
        let list = ArrayBuilder::new().items(self.of::<T>());
        self.answers(description, [("application/json", Schema::from(list))])
    }

    /// A header that 200 may have.
    pub(crate) fn with(mut self, name: &str, description: &str, kind: Type) -> Self {
        let header = HeaderBuilder::new().description(Some(description)).schema(Some(Object::with_type(kind)));
        if let Some(RefOr::T(ok)) = self.told.responses.responses.get_mut("200") {
            ok.headers.insert(name.to_owned(), header.build().into());
        }
        self
    }

    /// Statuses of errors.
    pub(crate) fn refuses(mut self, statuses: &[u16]) -> Self {
        for &status in statuses {
            let told = Ref::from_response_name(refusals::name(self.shape, status));
            self.told.responses.responses.insert(status.to_string(), told.into());
        }
        self
    }

    /// Errors are of TorchServe's shape.
    pub(crate) fn refuses_as_torchserve(mut self, statuses: &[u16]) -> Self {
        self.shape = Shape::TorchServe;
        self.refuses(statuses).refuses(&[500])
    }

    /// What whoever asks must show, and how it is refused. A certificate may be asked of all but probes.
    pub(super) fn needs(mut self, need: Need) -> Self {
        self.told.security = security::requirements(need);
        match need {
            Need::Probe => self,
            Need::Open | Need::Metrics => self.refuses(&[401]),
            Need::Key(_) => self.refuses(&[401, 403]),
        }
    }

    /// The reference to a type, whose schema the document has from now on.
    pub(crate) fn of<T: ToSchema>(&mut self) -> RefOr<Schema> {
        T::schemas(&mut self.schemas);
        self.schemas.push((T::name().into_owned(), T::schema()));
        Ref::from_schema_name(T::name()).into()
    }

    /// Any of these.
    pub(crate) fn any_of(items: impl IntoIterator<Item = RefOr<Schema>>) -> RefOr<Schema> {
        let any = items.into_iter().fold(AnyOfBuilder::new(), AnyOfBuilder::item);
        Schema::from(any.schema_type(SchemaType::AnyValue)).into()
    }

    pub(super) fn told(&self) -> path::Operation {
        self.told.clone()
    }

    pub(super) fn schemas(&self) -> &[(String, RefOr<Schema>)] {
        &self.schemas
    }

    fn response(mut self, status: &str, mut response: Response) -> Self {
        response.headers.insert("x-request-id".to_owned(), refusals::request_id());
        self.told.responses.responses.insert(status.to_owned(), response.into());
        self
    }
}

fn described(name: &str, place: ParameterIn, description: &str) -> ParameterBuilder {
    ParameterBuilder::new().name(name).parameter_in(place).required(Required::False).description(Some(description))
}
