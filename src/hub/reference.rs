//! How a model of the hub is named: `[hub:]ORGANISATION/NAME[@REVISION]`. Not here: other forms of names (`cli/model_ref`).

use std::fmt;
use std::str::FromStr;

use super::HubError;

/// What names of the hub's models may begin with.
const PREFIX: &str = "hub:";
/// The branch that is meant where none is named.
const MAIN: &str = "main";
/// Longest part of a repository's name, as the hub has it.
const LONGEST: usize = 96;

/// A repository and its revision. Both are such that they lead nowhere else as a path or in a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Who owns it.
    pub organisation: String,
    /// Its name there.
    pub name: String,
    /// A branch, a tag or a commit.
    pub revision: String,
}

impl Reference {
    /// `ORGANISATION/NAME`.
    #[must_use]
    pub fn repository(&self) -> String {
        format!("{}/{}", self.organisation, self.name)
    }

    /// The same repository at another revision.
    ///
    /// # Errors
    /// [`HubError::Reference`] where no revision can be called that.
    pub fn at(self, revision: &str) -> Result<Self, HubError> {
        if !is_revision(revision) {
            let why = "a revision is a branch, a tag, a commit or refs/pr/NUMBER";
            return Err(HubError::Reference { text: revision.to_owned(), why });
        }
        Ok(Self { revision: revision.to_owned(), ..self })
    }

    /// The revision, if it is a whole commit: what it is never changes.
    pub(super) fn commit(&self) -> Option<&str> {
        Some(self.revision.as_str()).filter(|revision| is_commit(revision))
    }
}

/// Whether this is the name of a commit, 40 hexadecimal digits.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && is_hexadecimal(text)
}

pub(super) fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn is_part(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let edge = |c: char| ".-".contains(c);
    (1..=LONGEST).contains(&text.len())
        && text.chars().all(fits)
        && !text.starts_with(edge)
        && !text.ends_with(edge)
        && !text.contains("--")
        && !text.contains("..")
}

fn is_revision(text: &str) -> bool {
    let fits = |c: char| !c.is_control() && !c.is_whitespace() && !"\\~^:?*[".contains(c);
    text.len() <= 255
        && text.chars().all(fits)
        && text.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock"))
        && !text.contains("..")
}

impl FromStr for Reference {
    type Err = HubError;

    fn from_str(text: &str) -> Result<Self, HubError> {
        let wrong = |why| HubError::Reference { text: text.to_owned(), why };
        let named = text.strip_prefix(PREFIX).unwrap_or(text);
        let (repository, revision) = named.split_once('@').unwrap_or((named, MAIN));
        let parts = repository.split_once('/').filter(|(organisation, name)| is_part(organisation) && is_part(name));
        let (organisation, name) =
            parts.ok_or_else(|| wrong("ORGANISATION/NAME or ORGANISATION/NAME@REVISION is needed"))?;
        Self { organisation: organisation.to_owned(), name: name.to_owned(), revision: MAIN.to_owned() }.at(revision)
    }
}

/// As it is written, with its revision where that is not the main branch.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { organisation, name, revision } = self;
        if revision == MAIN {
            write!(f, "{organisation}/{name}")
        } else {
            write!(f, "{organisation}/{name}@{revision}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_named_with_and_without_its_revision() {
        let reference: Reference = "hub:timm/convnext_tiny.fb_in1k".parse().unwrap();
        assert_eq!(
            (reference.repository().as_str(), reference.revision.as_str()),
            ("timm/convnext_tiny.fb_in1k", "main")
        );
        assert_eq!(reference.to_string(), "timm/convnext_tiny.fb_in1k");
        let reference: Reference = "timm/a@refs/pr/1".parse().unwrap();
        assert_eq!((reference.revision.as_str(), reference.commit()), ("refs/pr/1", None));
        assert_eq!(reference.to_string(), "timm/a@refs/pr/1");
        let commit = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(reference.at(commit).unwrap().commit(), Some(commit));
    }

    #[test]
    fn what_leads_elsewhere_is_no_name() {
        let names =
            ["", "a", "a/b/c", "../b", "a/..", "a/b--c", "a/.b", "a /b", "a/b?c", "/b", "a/", "hub:a", "a/b%2e"];
        let revisions = ["a/b@", "a/b@..", "a/b@/x", "a/b@x/", "a/b@x//y", "a/b@x/../y", "a/b@x y", "a/b@.x"];
        for text in [&names[..], &revisions].concat() {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }
}
