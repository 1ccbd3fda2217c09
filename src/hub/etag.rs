//! What the hub calls the content of a file: its SHA-256 where it is large, the hash of git where it is small. Not here: where files are.

use std::io::{self, Read};

use ring::digest::{self, Context};

use super::reference::is_hexadecimal;

/// The hash of a file's content, by which the cache names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Etag {
    /// Of the content.
    Sha256(String),
    /// The SHA-1 that git has of a blob: of its length and its content.
    Git(String),
}

impl Etag {
    /// What a header says, in quotes or not; `None` where it is neither hash, and nothing could be checked.
    pub(super) fn read(header: &str) -> Option<Self> {
        let text = header.strip_prefix("W/").unwrap_or(header).trim_matches('"');
        match text.len() {
            _ if !is_hexadecimal(text) => None,
            64 => Some(Self::Sha256(text.to_owned())),
            40 => Some(Self::Git(text.to_owned())),
            _ => None,
        }
    }

    /// The hash in hexadecimal digits: a plain name of a file.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Sha256(text) | Self::Git(text) => text,
        }
    }

    /// Which hash it is, in words.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "SHA-256",
            Self::Git(_) => "git hash",
        }
    }

    /// The hash of the same kind of `len` bytes of content.
    pub(super) fn of(&self, mut content: impl Read, len: u64) -> io::Result<String> {
        let mut context = match self {
            Self::Sha256(_) => Context::new(&digest::SHA256),
            Self::Git(_) => {
                let mut context = Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
                context.update(format!("blob {len}\0").as_bytes());
                context
            }
        };
        let mut buffer = vec![0; 1 << 18];
        loop {
            match content.read(&mut buffer)? {
                0 => break,
                read => context.update(&buffer[..read]),
            }
        }
        Ok(context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_sha256sum_and_git() {
        let sha256 = Etag::read("\"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03\"").unwrap();
        assert_eq!(sha256.of(&b"hello\n"[..], 6).unwrap(), sha256.text());
        let git = Etag::read("W/\"ce013625030ba8dba906f756967f9e9ca394464a\"").unwrap();
        assert_eq!(git.of(&b"hello\n"[..], 6).unwrap(), git.text());
    }

    #[test]
    fn what_is_no_hash_is_no_name_of_a_file() {
        for header in ["", "\"\"", "../../../../etc/passwd", "ce01-2", &"g".repeat(40), &"A".repeat(64)] {
            assert_eq!(Etag::read(header), None, "{header}");
        }
    }
}
