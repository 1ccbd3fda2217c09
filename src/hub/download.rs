//! A file's content on its way into the cache: in parts where the connection breaks, checked when it is whole. Not here: requests (`client`), names in
//! the cache (`cache`).

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use ureq::http::{HeaderMap, StatusCode, header};

use super::cache::{Cache, folder_of};
use super::client::{Client, Metadata};
use super::etag::Etag;
use super::patience::{Fault, Patience};
use super::{Event, HubError, size_of};

/// Bytes that are read at a time.
const CHUNK: usize = 1 << 18;

/// A file that a snapshot is to have.
pub(super) struct Download<'a> {
    pub(super) client: &'a Client<'a>,
    pub(super) cache: &'a Cache,
    pub(super) commit: &'a str,
    pub(super) name: &'a str,
}

impl Download<'_> {
    /// Downloads the content, unless it is there under its hash, and links the snapshot to it. The size, and whether it was downloaded.
    pub(super) fn run(&self) -> Result<(u64, bool), HubError> {
        let Metadata { etag, size } = self.client.metadata(self.commit, self.name)?;
        let blob = self.cache.blob(&etag);
        let is_there = || size_of(&blob).filter(|found| size.is_none_or(|size| size == *found));
        let lock = self.cache.lock(&etag, self.client.observer)?;
        let there = is_there();
        let bytes = match there {
            Some(bytes) => bytes,
            None => self.receive(&etag, size, &blob)?,
        };
        self.cache.link(self.commit, self.name, &etag)?;
        drop(lock);
        Ok((bytes, there.is_none()))
    }

    /// Receives what is missing, and checks the whole.
    fn receive(&self, etag: &Etag, size: Option<u64>, blob: &Path) -> Result<u64, HubError> {
        let path = self.cache.incomplete(etag);
        let error = HubError::cache(&path);
        folder_of(&path)?;
        let file = File::options().create(true).truncate(false).read(true).write(true).open(&path).map_err(&error)?;
        let reached = file.metadata().map_err(&error)?.len();
        let mut part = Part { file, path: &path, reached, size };
        (self.client.observer)(Event::Begins { file: self.name, size });
        let mut patience = Patience::default();
        let whole = loop {
            let before = part.reached;
            match self.receive_rest(&mut part) {
                Ok(()) => break part.check(etag, self.name),
                Err(fault) => {
                    if part.reached > before {
                        patience.reset();
                    }
                    if let Err(error) = patience.after(fault, &self.client.what(self.name), self.client.observer) {
                        break Err(error);
                    }
                }
            }
        };
        if let Err(error @ (HubError::WrongSize { .. } | HubError::WrongHash { .. })) = whole {
            std::fs::remove_file(&path).map_err(HubError::cache(&path))?;
            return Err(error);
        }
        whole?;
        std::fs::rename(&path, blob).map_err(HubError::cache(blob))?;
        (self.client.observer)(Event::Ends);
        Ok(part.reached)
    }

    /// One attempt at what is missing.
    fn receive_rest(&self, part: &mut Part<'_>) -> Result<(), Fault> {
        if part.size.is_some_and(|size| part.reached > size) {
            part.start_again()?;
        }
        if part.reached > 0 && part.size == Some(part.reached) {
            return Ok(());
        }
        let response = self.client.content(self.commit, self.name, part.reached)?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if begins_at(response.headers()) == Some(part.reached) => {}
            StatusCode::OK => part.start_again()?,
            status => {
                part.start_again()?;
                return Err(Fault::passing(format!("HTTP {status} to a request for the rest of it")));
            }
        }
        let announced = response.body().content_length();
        let mut body = response.into_body().into_with_config().limit(u64::MAX).reader();
        let mut buffer = vec![0; CHUNK];
        let mut came = 0;
        loop {
            let read = match body.read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Fault::passing(error.to_string())),
            };
            if read == 0 {
                break;
            }
            came += read as u64;
            part.append(&buffer[..read])?;
            (self.client.observer)(Event::Reached(part.reached));
            // as much as is to come and more is never written
            part.hold_against(self.name, part.size.filter(|size| part.reached > *size))?;
        }
        if announced.is_some_and(|announced| came < announced) {
            return Err(Fault::passing("the connection ended early"));
        }
        // a whole answer of another size than the hub's word
        part.hold_against(self.name, part.size)
    }
}

/// Content of which a part may be missing.
struct Part<'a> {
    file: File,
    path: &'a Path,
    /// Bytes that are there.
    reached: u64,
    /// Bytes that are to be there.
    size: Option<u64>,
}

impl Part<'_> {
    fn start_again(&mut self) -> Result<(), Fault> {
        self.reached = 0;
        self.file.set_len(0).map_err(|cause| Fault::Final(HubError::cache(self.path)(cause)))
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let written = self.file.seek(SeekFrom::Start(self.reached)).and_then(|_| self.file.write_all(bytes));
        written.map_err(|cause| Fault::Final(HubError::cache(self.path)(cause)))?;
        self.reached += bytes.len() as u64;
        Ok(())
    }

    fn hold_against(&self, name: &str, expected: Option<u64>) -> Result<(), Fault> {
        match expected {
            Some(expected) if expected != self.reached => {
                let (file, found) = (name.to_owned(), self.reached);
                Err(Fault::Final(HubError::WrongSize { file, expected, found }))
            }
            _ => Ok(()),
        }
    }

    /// Reads the whole again as it lies on the disk, and lets it stay there.
    fn check(&mut self, etag: &Etag, name: &str) -> Result<(), HubError> {
        let error = HubError::cache(self.path);
        self.file.seek(SeekFrom::Start(0)).map_err(&error)?;
        let found = etag.of(&self.file, self.reached).map_err(&error)?;
        if found != etag.text() {
            let (file, kind, expected) = (name.to_owned(), etag.kind(), etag.text().to_owned());
            return Err(HubError::WrongHash { file, kind, expected, found });
        }
        self.file.sync_all().map_err(&error)
    }
}

/// The first byte of a part, by `Content-Range: bytes FIRST-LAST/SIZE`.
fn begins_at(head: &HeaderMap) -> Option<u64> {
    let range = head.get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}
