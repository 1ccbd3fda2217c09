//! A hub on this machine: the routes that Hugging Face's own library and `convnext pull` ask, a second host that has the large files, and whatever can
//! go wrong with either. Not here: what is expected of those who ask.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::{StreamExt as _, stream};
use ring::digest;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub(crate) const REPOSITORY: &str = "people/tiny";
/// What the main branch is at first, and later.
pub(crate) const COMMIT: &str = "c0ffee0123456789c0ffee0123456789c0ffee01";
pub(crate) const LATER: &str = "decade0123456789decade0123456789decade01";
/// Files of so many bytes are on the second host, under their SHA-256.
const LARGE: usize = 10_000;

/// What goes wrong.
#[derive(Clone, Default)]
pub(crate) struct Faults {
    /// Answers with content of a large file end after so many bytes, the first first.
    pub(crate) breaks: Vec<usize>,
    /// The second host knows no ranges.
    pub(crate) whole: bool,
    /// Each of these is the answer to a request, the first first: a status and headers.
    pub(crate) answers: Vec<(u16, Vec<(&'static str, String)>)>,
    /// Whether everybody, or only those without the token, are refused.
    pub(crate) gated: Option<Gate>,
    /// Content is not what its hash says.
    pub(crate) spoilt: bool,
    /// Content of large files is shorter than its size says, and ends well.
    pub(crate) short: usize,
    /// What the ETag of large files says in place of their hash.
    pub(crate) etag: Option<String>,
    /// A file that is listed and not there.
    pub(crate) lost: Option<&'static str>,
    /// How long content takes.
    pub(crate) slow: Duration,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Gate {
    Everybody,
    WithoutToken,
}

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Whether it came to the second host.
    pub(crate) at_second: bool,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) range: Option<String>,
}

type Files = BTreeMap<String, Bytes>;

struct Shared {
    /// Files by commit.
    commits: Mutex<BTreeMap<String, Files>>,
    /// Commits by revision.
    revisions: Mutex<BTreeMap<String, String>>,
    faults: Mutex<Faults>,
    seen: Mutex<Vec<Seen>>,
    second: SocketAddr,
}

/// A hub that runs until it is dropped.
pub(crate) struct Hub {
    pub(crate) endpoint: String,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Hub {
    /// With these files on its main branch.
    pub(crate) fn with(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let bind = || runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let (first, second) = (bind(), bind());
        let (endpoint, second_address) =
            (format!("http://{}", first.local_addr().unwrap()), second.local_addr().unwrap());
        let files = files.into_iter().map(|(name, content)| (name, Bytes::from(content))).collect();
        let revisions = [("main", COMMIT), ("refs/pr/1", COMMIT), (COMMIT, COMMIT), (LATER, LATER)];
        let shared = Arc::new(Shared {
            commits: Mutex::new(BTreeMap::from([(COMMIT.to_owned(), files)])),
            revisions: Mutex::new(revisions.map(|(revision, commit)| (revision.to_owned(), commit.to_owned())).into()),
            faults: Mutex::default(),
            seen: Mutex::default(),
            second: second_address,
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let routers = [false, true].map(|at_second| {
            let shared = Arc::clone(&shared);
            let answer = move |State(shared): State<Arc<Shared>>, request: Request| async move {
                let slow = shared.faults.lock().unwrap().slow;
                tokio::time::sleep(if at_second { slow } else { Duration::ZERO }).await;
                answer(&shared, at_second, &request)
            };
            Router::new().fallback(answer).with_state(shared)
        });
        let serve = move || {
            let [hub, cdn] = routers;
            #[expect(clippy::disallowed_methods, reason = "this is no server of ours, and its clients are our tests")]
            runtime.block_on(async {
                tokio::select! {
                    served = async { axum::serve(first, hub).await } => served.unwrap(),
                    served = async { axum::serve(second, cdn).await } => served.unwrap(),
                    _ = stopped => {}
                }
            });
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("hub".to_owned()).spawn(serve).unwrap();
        Self { endpoint, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// With the files of a golden case, and some that nobody needs.
    pub(crate) fn of_golden(case: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(case);
        let files = ["config.json", "preprocessor_config.json", "model.safetensors"];
        let read = |name: &str| Some((name.to_owned(), std::fs::read(folder.join(name)).ok()?));
        let others = [("README.md", &b"A model."[..]), ("pytorch_model.bin", &[7; 20_000]), ("onnx/model.onnx", b"no")];
        let others = others.map(|(name, content)| (name.to_owned(), content.to_vec()));
        Self::with(files.iter().filter_map(|name| read(name)).chain(others))
    }

    pub(crate) fn fail(&self, faults: Faults) {
        *self.shared.faults.lock().unwrap() = faults;
    }

    /// The main branch goes on to a commit with these files beside those that it had.
    pub(crate) fn commit(&self, files: &[(&str, &[u8])]) {
        let mut commits = self.shared.commits.lock().unwrap();
        let mut tree = commits[COMMIT].clone();
        tree.extend(files.iter().map(|(name, content)| ((*name).to_owned(), Bytes::copy_from_slice(content))));
        commits.insert(LATER.to_owned(), tree);
        self.shared.revisions.lock().unwrap().insert("main".to_owned(), LATER.to_owned());
    }

    /// All requests since the last call.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.shared.seen.lock().unwrap())
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
        drop(self.thread.take().unwrap().join());
    }
}

fn answer(shared: &Shared, at_second: bool, request: &Request) -> Response {
    let header = |name| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let (authorization, range) = (header(header::AUTHORIZATION), header(header::RANGE));
    let seen = Seen { at_second, method, path: path.clone(), authorization: authorization.clone(), range };
    shared.seen.lock().unwrap().push(seen);
    let mut faults = shared.faults.lock().unwrap().clone();
    if let Some((status, headers)) = (!faults.answers.is_empty()).then(|| faults.answers.remove(0)) {
        shared.faults.lock().unwrap().answers.remove(0);
        return with_headers(StatusCode::from_u16(status).unwrap(), &headers, Body::empty());
    }
    if at_second {
        let hash = path.trim_start_matches("/blobs/");
        let commits = shared.commits.lock().unwrap();
        let content = commits.values().flat_map(BTreeMap::values).find(|content| sha256(content) == hash);
        let Some(content) = content else { return refused(404, "EntryNotFound") };
        let breaks = &mut shared.faults.lock().unwrap().breaks;
        let end = (!breaks.is_empty()).then(|| breaks.remove(0));
        return blob(content, request.headers(), &faults, end);
    }
    let parts: Vec<String> = path.split('/').skip(1).map(unescaped).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (repository, rest) = match parts.as_slice() {
        ["api", "models", organisation, name, rest @ ..] => {
            (format!("{organisation}/{name}"), [&["api"], rest].concat())
        }
        ["api", "resolve-cache", "models", organisation, name, rest @ ..] => {
            (format!("{organisation}/{name}"), [&["cache"], rest].concat())
        }
        [organisation, name, rest @ ..] => (format!("{organisation}/{name}"), rest.to_vec()),
        _ => return refused(404, ""),
    };
    if repository != REPOSITORY {
        return refused(401, "RepoNotFound");
    }
    let revision = match rest.as_slice() {
        ["api", "revision" | "tree", revision, ..] | ["resolve", revision, ..] => *revision,
        ["cache", revision, ..] => revision,
        _ => "main",
    };
    let Some(commit) = shared.revisions.lock().unwrap().get(revision).cloned() else {
        return refused(404, "RevisionNotFound");
    };
    let commits = shared.commits.lock().unwrap();
    let Some(files) = commits.get(&commit) else { return refused(404, "RevisionNotFound") };
    // what a gated repository has is told to everybody
    match faults.gated {
        Some(gate) if rest[0] != "api" && (gate == Gate::Everybody || authorization.is_none()) => {
            return refused(if authorization.is_none() { 401 } else { 403 }, "GatedRepo");
        }
        _ => {}
    }
    match rest.as_slice() {
        ["api", "tree", ..] => json(files.iter().map(|(name, content)| entry(name, content)).collect()),
        ["api", ..] => {
            let siblings: Vec<Value> = files.keys().map(|name| json!({"rfilename": name})).collect();
            json(json!({"id": REPOSITORY, "modelId": REPOSITORY, "sha": commit, "private": false, "tags": [],
                        "downloads": 0, "likes": 0, "siblings": siblings}))
        }
        ["resolve", _, name @ ..] => {
            match files.get(&name.join("/")).filter(|_| faults.lost != name.first().copied()) {
                None => with_headers(
                    StatusCode::NOT_FOUND,
                    &[("x-error-code", "EntryNotFound".to_owned()), ("x-repo-commit", commit)],
                    Body::empty(),
                ),
                Some(content) => resolved(shared, &commit, &name.join("/"), content, &faults),
            }
        }
        ["cache", _, name @ ..] => match files.get(&name.join("/")) {
            Some(content) => {
                let headers = [("x-repo-commit", commit), ("etag", format!("\"{}\"", git_hash(content)))];
                let mut response = blob(content, request.headers(), &faults, None);
                response.headers_mut().extend(with_headers(StatusCode::OK, &headers, Body::empty()).headers().clone());
                response
            }
            None => refused(404, "EntryNotFound"),
        },
        _ => refused(404, ""),
    }
}

/// Where a file is: on the second host when it is large, else on this one at another path.
fn resolved(shared: &Shared, commit: &str, name: &str, content: &Bytes, faults: &Faults) -> Response {
    let (status, mut headers) = if content.len() < LARGE {
        let location = format!("/api/resolve-cache/models/{REPOSITORY}/{commit}/{name}");
        (StatusCode::TEMPORARY_REDIRECT, vec![("location", location)])
    } else {
        let hash = sha256(content);
        let location = format!("http://{}/blobs/{hash}?signature=secret", shared.second);
        let etag = faults.etag.clone().unwrap_or(hash);
        let linked = [("x-linked-etag", format!("\"{etag}\"")), ("x-linked-size", content.len().to_string())];
        (StatusCode::FOUND, [&[("location", location)][..], &linked].concat())
    };
    headers.push(("x-repo-commit", commit.to_owned()));
    with_headers(status, &headers, Body::empty())
}

/// Content, or the part of it that is asked for; with an `end` the connection breaks after so many bytes.
fn blob(content: &Bytes, head: &HeaderMap, faults: &Faults, end: Option<usize>) -> Response {
    let short = if content.len() < LARGE { 0 } else { faults.short };
    let mut content = content.slice(..content.len() - short);
    if faults.spoilt {
        let mut bytes = content.to_vec();
        bytes[0] ^= 1;
        content = bytes.into();
    }
    let range = head.get(header::RANGE).filter(|_| !faults.whole).map(|range| range.to_str().unwrap());
    let from: Option<usize> =
        range.map(|range| range.strip_prefix("bytes=").unwrap().trim_end_matches('-').parse().unwrap());
    let (status, mut headers) = match from {
        Some(from) if from >= content.len() => return refused(416, ""),
        Some(from) => {
            let range = format!("bytes {from}-{}/{}", content.len() - 1, content.len());
            (StatusCode::PARTIAL_CONTENT, vec![("content-range", range)])
        }
        None => (StatusCode::OK, Vec::new()),
    };
    let content = content.slice(from.unwrap_or(0)..);
    headers.push(("content-length", content.len().to_string()));
    let Some(end) = end else { return with_headers(status, &headers, Body::from(content)) };
    let first = content.slice(..end.min(content.len()));
    let rest = async {
        // what came before is to be on its way
        tokio::time::sleep(Duration::from_millis(100)).await;
        Err(io::Error::other("broken"))
    };
    let chunks = stream::iter([Ok(first)]).chain(stream::once(rest));
    with_headers(status, &headers, Body::from_stream(chunks))
}

fn entry(name: &str, content: &Bytes) -> Value {
    let mut entry = json!({"type": "file", "path": name, "size": content.len(), "oid": git_hash(content)});
    if content.len() >= LARGE {
        entry["lfs"] = json!({"oid": sha256(content), "size": content.len(), "pointerSize": 130});
    }
    entry
}

fn refused(status: u16, code: &str) -> Response {
    let headers = [("x-error-code", code.to_owned()), ("x-error-message", format!("no: {code}"))];
    with_headers(StatusCode::from_u16(status).unwrap(), &headers, Body::empty())
}

fn json(value: Value) -> Response {
    let headers = [("content-type", "application/json".to_owned())];
    with_headers(StatusCode::OK, &headers, Body::from(value.to_string()))
}

fn with_headers(status: StatusCode, headers: &[(&'static str, String)], body: Body) -> Response {
    let mut response = (status, body).into_response();
    let headers = headers.iter().filter(|(_, value)| !value.is_empty());
    response
        .headers_mut()
        .extend(headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect::<HeaderMap>());
    response
}

fn unescaped(part: &str) -> String {
    part.replace("%2F", "/")
}

pub(crate) fn sha256(content: &[u8]) -> String {
    hexadecimal(digest::digest(&digest::SHA256, content).as_ref())
}

/// As `git hash-object` has it.
pub(crate) fn git_hash(content: &[u8]) -> String {
    let blob = [format!("blob {}\0", content.len()).as_bytes(), content].concat();
    hexadecimal(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &blob).as_ref())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
