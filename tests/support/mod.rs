//! What several suites share. Each suite uses a part of it.
#![allow(dead_code, unused_imports, unreachable_pub, missing_docs, reason = "shared by suites that each use a part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

pub mod http;
pub mod mock;
pub mod openapi;
pub mod process;
