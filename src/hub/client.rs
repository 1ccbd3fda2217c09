//! What is asked of the hub, over HTTP: which files a revision has, what their content is called, and the content. Redirects are followed here,
//! for the token goes to the hub alone. Not here: what is made of content (`download`).

use std::time::Duration;

use serde::Deserialize;
use ureq::http::{HeaderMap, Response, StatusCode, header};
use ureq::tls::{PemItem, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use super::etag::Etag;
use super::patience::{Fault, again_and_again, wait};
use super::reference::is_commit;
use super::url::{escaped, joined, same_host};
use super::{HubError, Observer, Reference, Settings};

/// How long a connection, and the head of an answer, may take, and no byte may come.
const CONNECT: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(30);
/// Redirects in a row that are followed.
const REDIRECTS: usize = 10;
/// Largest list of files that is read, in bytes.
const LISTING_LIMIT: u64 = 32 << 20;
/// Asks about one repository.
pub(super) struct Client<'a> {
    agent: Agent,
    reference: &'a Reference,
    settings: &'a Settings,
    pub(super) observer: Observer<'a>,
}

/// What a revision has.
pub(super) struct Listing {
    pub(super) commit: String,
    /// Paths in the repository.
    pub(super) files: Vec<String>,
}

/// What content is called, and how much it is where the hub says so.
pub(super) struct Metadata {
    pub(super) etag: Etag,
    pub(super) size: Option<u64>,
}

/// A request.
struct Ask<'a> {
    url: &'a str,
    /// The file that it is about, if it is about one.
    file: Option<&'a str>,
    /// The first byte that is wanted.
    from: u64,
    head_only: bool,
}

impl<'a> Client<'a> {
    /// # Errors
    /// [`HubError::Setting`] where the certificates cannot be read.
    pub(super) fn new(
        reference: &'a Reference,
        settings: &'a Settings,
        observer: Observer<'a>,
    ) -> Result<Self, HubError> {
        let agent = Agent::config_builder()
            .user_agent(concat!("convnext-server/", env!("CARGO_PKG_VERSION")))
            // sizes and hashes are of the content itself
            .accept_encoding("identity")
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_send_request(Some(SILENCE))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            .tls_config(TlsConfig::builder().root_certs(roots(settings)?).build())
            .build()
            .new_agent();
        Ok(Self { agent, reference, settings, observer })
    }

    /// The commit of the revision, and its files.
    pub(super) fn listing(&self) -> Result<Listing, HubError> {
        #[derive(Deserialize)]
        struct Answer {
            sha: String,
            siblings: Vec<Sibling>,
        }
        #[derive(Deserialize)]
        struct Sibling {
            rfilename: String,
        }
        let Self { settings: Settings { endpoint, .. }, reference, .. } = self;
        let url = format!("{endpoint}/api/models/{}/revision/{}", reference.repository(), escaped(&reference.revision));
        let text = again_and_again(&url, self.observer, || {
            let mut response = self.ask(Ask { url: &url, file: None, from: 0, head_only: false }, |_| false)?;
            response.body_mut().with_config().limit(LISTING_LIMIT).read_to_vec().map_err(|error| passing(&error))
        })?;
        let strange = |why: String| HubError::NotAHub { url: url.clone(), why };
        let answer: Answer = serde_json::from_slice(&text).map_err(|error| strange(error.to_string()))?;
        if !is_commit(&answer.sha) {
            return Err(strange(format!("{:?} is no commit", answer.sha)));
        }
        Ok(Listing { commit: answer.sha, files: answer.siblings.into_iter().map(|file| file.rfilename).collect() })
    }

    /// What a commit's file is called.
    pub(super) fn metadata(&self, commit: &str, file: &str) -> Result<Metadata, HubError> {
        let url = self.url(commit, file);
        let (mut etag, mut size) = (None, None);
        again_and_again(&url, self.observer, || {
            (etag, size) = (None, None);
            let response = self.ask(Ask { url: &url, file: Some(file), from: 0, head_only: true }, |head| {
                // the hub's own word; where it sends us has names of its own
                etag = etag.take().or_else(|| text(head, "x-linked-etag").map(str::to_owned));
                size = size.or_else(|| text(head, "x-linked-size").map(str::to_owned)?.parse().ok());
                etag.is_some()
            })?;
            let head = response.headers();
            if etag.is_none() {
                etag = text(head, "etag").map(str::to_owned);
                size = size.or_else(|| text(head, "content-length")?.parse().ok());
            }
            Ok(())
        })?;
        let strange = |why: String| HubError::NotAHub { url: url.clone(), why };
        let etag = etag.ok_or_else(|| strange("the answer has no ETag".to_owned()))?;
        let etag = Etag::read(&etag).ok_or_else(|| {
            strange(format!(
                "the ETag {etag} is neither a SHA-256 nor a hash of git, so that the file could not be checked"
            ))
        })?;
        Ok(Metadata { etag, size })
    }

    /// The content of a commit's file from a byte on, or from its beginning where the server cannot do that.
    pub(super) fn content(&self, commit: &str, file: &str, from: u64) -> Result<Response<Body>, Fault> {
        self.ask(Ask { url: &self.url(commit, file), file: Some(file), from, head_only: false }, |_| false)
    }

    /// What is asked, in words.
    pub(super) fn what(&self, file: &str) -> String {
        format!("{file} of {}", self.reference)
    }

    fn url(&self, commit: &str, file: &str) -> String {
        format!("{}/{}/resolve/{commit}/{}", self.settings.endpoint, self.reference.repository(), escaped(file))
    }

    /// The answer at the end of all redirects, or the one that is enough.
    fn ask(&self, ask: Ask<'_>, mut is_enough: impl FnMut(&HeaderMap) -> bool) -> Result<Response<Body>, Fault> {
        let mut url = ask.url.to_owned();
        for _ in 0..=REDIRECTS {
            let mut request = if ask.head_only { self.agent.head(&url) } else { self.agent.get(&url) };
            if let Some(token) = self.settings.token.as_ref().filter(|_| same_host(&self.settings.endpoint, &url)) {
                request = request.header(header::AUTHORIZATION, token.bearer());
            }
            if ask.from > 0 {
                request = request.header(header::RANGE, format!("bytes={}-", ask.from));
            }
            let response = request.call().map_err(|error| failed(&url, &error))?;
            let is_enough = is_enough(response.headers());
            match response.status().as_u16() {
                301 | 302 | 303 | 307 | 308 if !is_enough => {
                    let location = text(response.headers(), "location").unwrap_or_default();
                    let why = || format!("it redirects to {location:?}, which cannot be followed");
                    url = joined(&url, location)
                        .ok_or_else(|| Fault::Final(HubError::NotAHub { url: url.clone(), why: why() }))?;
                }
                200..400 | 416 => return Ok(response),
                _ => return Err(self.refusal(&url, ask.file, &response)),
            }
        }
        Err(Fault::Final(HubError::NotAHub { url, why: format!("more than {REDIRECTS} redirects") }))
    }

    /// What an answer that brings nothing means.
    fn refusal(&self, url: &str, file: Option<&str>, response: &Response<Body>) -> Fault {
        let (status, head) = (response.status(), response.headers());
        let code = text(head, "x-error-code").unwrap_or_default();
        let why = text(head, "x-error-message").unwrap_or_default().to_owned();
        let token = self.settings.token.is_some();
        let (endpoint, repository) = (self.settings.endpoint.clone(), self.reference.repository());
        let unnamed = status == StatusCode::UNAUTHORIZED && code.is_empty() && !why.starts_with("Invalid credentials");
        Fault::Final(match code {
            "GatedRepo" => HubError::Gated { page: format!("{endpoint}/{repository}"), repository, token },
            // 401 is said of what is private, and of what is not there
            "RepoNotFound" => HubError::RepositoryNotFound { endpoint, repository, token },
            _ if unnamed => HubError::RepositoryNotFound { endpoint, repository, token },
            "RevisionNotFound" => HubError::RevisionNotFound { repository, revision: self.reference.revision.clone() },
            "EntryNotFound" => HubError::FileNotFound { repository, file: file.unwrap_or("of that name").to_owned() },
            _ if matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504) => {
                return Fault::Passing { why: format!("HTTP {status} {why}").trim_end().to_owned(), wait: wait(head) };
            }
            _ if status == StatusCode::NOT_FOUND && code.is_empty() => HubError::NotAHub {
                url: without_query(url),
                why: "HTTP 404, without the hub's word for what is missing".to_owned(),
            },
            _ => HubError::Refused { url: without_query(url), status: status.as_u16(), why },
        })
    }
}

/// The certificates that are believed: Mozilla's, or those of a file.
fn roots(settings: &Settings) -> Result<RootCerts, HubError> {
    let Some(path) = &settings.certificates else { return Ok(RootCerts::WebPki) };
    let wrong =
        |why: String| HubError::Setting { variable: "SSL_CERT_FILE", why: format!("{}: {why}", path.display()) };
    let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let certificates: Vec<_> = ureq::tls::parse_pem(&text)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(wrong("it has no certificate in PEM".to_owned()));
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

pub(super) fn text<'a>(head: &'a HeaderMap, name: &str) -> Option<&'a str> {
    head.get(name).and_then(|value| value.to_str().ok())
}

/// A connection that failed. That certificates are not believed is said at once.
fn failed(url: &str, error: &ureq::Error) -> Fault {
    let url = without_query(url);
    Fault::Final(match error {
        ureq::Error::Io(cause) if cause.kind() == std::io::ErrorKind::InvalidData => {
            HubError::Certificate { url, why: cause.to_string() }
        }
        ureq::Error::Io(_)
        | ureq::Error::Timeout(_)
        | ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::Protocol(_)
        | ureq::Error::BodyStalled => return passing(error),
        other => HubError::NotAHub { url, why: other.to_string() },
    })
}

fn passing(error: &ureq::Error) -> Fault {
    Fault::passing(match error {
        ureq::Error::Io(cause) => cause.to_string(),
        other => other.to_string(),
    })
}

/// A URL for people: what it is signed with is nobody's business.
fn without_query(url: &str) -> String {
    url.split('?').next().unwrap_or_default().to_owned()
}
