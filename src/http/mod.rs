//! REST: the routes, the forms of a request, the error table, and the accept loop with its timeouts and its drain.
//!
//! Thin on purpose: it parses, asks the [`Classifier`](crate::service::Classifier) and answers. No image is decoded
//! here and nothing waits in a queue of its own; admission, deadlines and cancellation are the service's.

mod access;
mod answer;
mod asked;
mod body;
mod classify;
mod connection;
mod error;
mod form;
mod front;
mod json;
mod multipart;
mod options;
mod query;
mod request_id;
mod routes;
mod server;
mod unread;

pub use options::Options;
pub use server::{Drained, serve};
