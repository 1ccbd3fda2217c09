//! What can go wrong with the hub, in words that say what to do. Not here: finding it out.

use std::path::{Path, PathBuf};

use super::Reference;

/// A model cannot be had from the hub.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// No repository can have this name, or no revision this one.
    #[error("hub model {text:?}: {why}")]
    Reference {
        /// What was written.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A variable of the environment makes no sense.
    #[error("{variable}: {why}")]
    Setting {
        /// The variable.
        variable: &'static str,
        /// What is wrong with it; never its value where that is a secret.
        why: String,
    },
    /// The network may not be used, and the cache does not have all of it.
    #[error("{reference} is not complete in {}, and the network is not used (HF_HUB_OFFLINE, --offline): `convnext pull {reference}` fetches it", cache.display())]
    Offline {
        /// What was wanted.
        reference: Reference,
        /// The cache.
        cache: PathBuf,
    },
    /// There is no such repository, or it is private.
    #[error("{endpoint} has no repository {repository}, or it is private: check the name; {}", token_hint(*token))]
    RepositoryNotFound {
        /// The hub.
        endpoint: String,
        /// The repository.
        repository: String,
        /// Whether a token was sent.
        token: bool,
    },
    /// There is no such branch, tag or commit.
    #[error("repository {repository} has no revision {revision}")]
    RevisionNotFound {
        /// The repository.
        repository: String,
        /// The revision.
        revision: String,
    },
    /// The file is not there, though the hub listed it.
    #[error("repository {repository} has no file {file}")]
    FileNotFound {
        /// The repository.
        repository: String,
        /// The file.
        file: String,
    },
    /// Terms are to be accepted first.
    #[error("{repository} is gated: accept its terms at {page}, and {}", token_hint(*token))]
    Gated {
        /// The repository.
        repository: String,
        /// Its page.
        page: String,
        /// Whether a token was sent.
        token: bool,
    },
    /// The hub says no.
    #[error("{url}: HTTP {status}{}", said(why))]
    Refused {
        /// What was asked.
        url: String,
        /// The status.
        status: u16,
        /// What the hub said; may be empty.
        why: String,
    },
    /// The hub does not answer, or breaks off again and again.
    #[error(
        "{what}: {why}; gave up after {attempts} attempts in a row that brought nothing. What has come is kept, the next pull goes on with it"
    )]
    Unreachable {
        /// What was asked.
        what: String,
        /// How often.
        attempts: u32,
        /// What went wrong the last time.
        why: String,
    },
    /// The connection cannot be encrypted, or who answers cannot be believed.
    #[error(
        "{url}: {why}. Certificates beside Mozilla's, as of a proxy that decrypts, are to be in the file that SSL_CERT_FILE names"
    )]
    Certificate {
        /// What was asked.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// What answers is no hub, or one that does not say what is needed.
    #[error("{url}: {why}. Is HF_ENDPOINT a Hugging Face hub, and does no proxy answer in its place?")]
    NotAHub {
        /// What was asked.
        url: String,
        /// What is missing or wrong.
        why: String,
    },
    /// The repository has no model that can be served.
    #[error("{repository}: {why}")]
    NoModel {
        /// The repository.
        repository: String,
        /// What is missing, and what to do.
        why: String,
    },
    /// A file came with another number of bytes.
    #[error("{file} has {found} bytes, and the hub says {expected}; it was removed")]
    WrongSize {
        /// The file.
        file: String,
        /// By the hub.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// A file came with other bytes.
    #[error(
        "{file} has the {kind} {found}, and the hub says {expected}; it was removed. If it came in parts, pull it again"
    )]
    WrongHash {
        /// The file.
        file: String,
        /// Which hash.
        kind: &'static str,
        /// By the hub.
        expected: String,
        /// Of what came.
        found: String,
    },
    /// The cache cannot be read or written.
    #[error("cannot write {}: {cause}{}", path.display(), cache_hint(cause))]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
}

impl HubError {
    pub(super) fn offline(reference: &Reference, cache: &Path) -> Self {
        Self::Offline { reference: reference.clone(), cache: cache.to_owned() }
    }

    /// For `map_err`: the cache at this path.
    pub(super) fn cache(path: &Path) -> impl Fn(std::io::Error) -> Self {
        |cause| Self::Cache { path: path.to_owned(), cause }
    }
}

fn token_hint(token: bool) -> &'static str {
    if token { "the token that was sent may not read it" } else { "set HF_TOKEN to a token that may read it" }
}

fn said(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!(": {why}") }
}

fn cache_hint(cause: &std::io::Error) -> &'static str {
    match cause.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            "; make room there, or set HF_HOME to a folder with more: what has come is kept, the next pull goes on with it"
        }
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            "; set HF_HOME or HF_HUB_CACHE to a folder that can be written"
        }
        _ => "",
    }
}
