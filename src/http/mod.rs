//! REST: the routes, the forms of a request, and the error table.
//!
//! Thin on purpose: it parses, calls the [`Classifier`](crate::service::Classifier) and answers. No image is decoded
//! here and nothing is queued; admission, deadlines and cancellation are the service's. Connections are `net`'s.

mod access;
mod access_log;
mod admitted;
mod answer;
mod answer_options;
mod body;
mod body_tracker;
mod classify;
mod coding;
mod compressed;
mod contents;
mod cors;
mod counted;
pub(crate) mod docs;
mod error;
mod form;
mod json;
mod json_object;
mod model_path;
mod multipart;
mod others;
mod outer_layer;
mod page;
mod panics;
mod parse;
mod query;
mod routes;
mod shared;
mod state;
mod stats;
mod v2;
mod warning;

pub use cors::Origin;
pub use routes::router;
pub use state::{MetricsCompat, Options};
// what the admin port answers in the same way
pub(crate) use {
    access::Audience, cors::is_of_a_page, error::Error, model_path::Named, routes::Index, shared::Model,
    shared::with_shared, state::AppState, stats::Compared,
};
