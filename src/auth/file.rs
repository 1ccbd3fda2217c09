//! The file of keys: a table `[[key]]` each, with a name, a digest, scopes and a rate. Not here: when it is read (`reload`).

use std::collections::HashSet;

use serde::Deserialize;

use super::{Digest, Scope};

/// Keys of a file at most: each request is compared with all of them.
const MOST_KEYS: usize = 1000;
/// Characters of a name, which stands in logs and metrics.
const MOST_NAME: usize = 64;
/// Images per second, and images of a burst.
const MOST_RATE: f64 = 1e9;

/// The keys of a file, at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct Keys(Vec<Entry>);

/// What the file says of a key.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its name in logs and metrics.
    pub name: String,
    /// The SHA-256 of the key.
    pub digest: Digest,
    /// What it is for.
    pub scopes: Vec<Scope>,
    /// How many images it may have; None: as many as it likes.
    pub rate: Option<Rate>,
}

/// How many images a key may have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Images per second, in the long run.
    pub images: f64,
    /// Images that may come at once after a rest.
    pub burst: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    key: Vec<Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: String,
    sha256: String,
    scopes: Vec<Scope>,
    rate: Option<f64>,
    burst: Option<f64>,
}

impl Keys {
    /// Reads a file's text.
    ///
    /// # Errors
    /// What is wrong with it, and with which key. It quotes no value: one may be a key that was put in the wrong place.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned())?;
        let File { key: tables } = toml::from_str(text).map_err(|error| in_words(&error, text))?;
        if tables.is_empty() {
            return Err("it has no [[key]]; `convnext key --name NAME` makes one".to_owned());
        }
        if tables.len() > MOST_KEYS {
            return Err(format!("it has {} keys; {MOST_KEYS} are possible", tables.len()));
        }
        let entries = tables.into_iter().enumerate().map(|(index, table)| entry(index, table));
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        let (mut names, mut digests) = (HashSet::new(), HashSet::new());
        for Entry { name, digest, .. } in &entries {
            if !names.insert(name) {
                return Err(format!("two keys have the name {name}"));
            }
            if !digests.insert(digest) {
                return Err(format!("key {name} is another key of this file as well"));
            }
        }
        Ok(Self(entries))
    }

    /// Whether one of them is for this.
    #[must_use]
    pub fn have(&self, scope: Scope) -> bool {
        self.0.iter().any(|entry| entry.scopes.contains(&scope))
    }

    /// All of them.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }
}

/// What the parser says and where, without the line that it would quote.
fn in_words(error: &toml::de::Error, text: &str) -> String {
    let line = error.span().and_then(|span| text.get(..span.start)).map(|before| before.matches('\n').count() + 1);
    // a value may be quoted after the first line, or in its backticks
    let message = error.message().lines().next().unwrap_or_default();
    let what = if message.starts_with("invalid type") || message.starts_with("unknown variant") {
        "a value is not of its kind; name and sha256 are text, scopes a list of \"infer\" and \"admin\", rate and burst numbers"
    } else {
        message
    };
    line.map_or_else(|| what.to_owned(), |line| format!("line {line}: {what}"))
}

fn entry(index: usize, table: Table) -> Result<Entry, String> {
    let Table { name, sha256, scopes, rate, burst } = table;
    check_name(&name).map_err(|why| format!("the name of key {} {why}", index + 1))?;
    let of = |why: &str| format!("key {name}: {why}");
    let digest = from_hex(&sha256).ok_or_else(|| {
        of("sha256 is not 64 hexadecimal digits; it is the SHA-256 of the key and not the key itself")
    })?;
    if scopes.is_empty() {
        return Err(of("it has no scopes; infer and admin are possible"));
    }
    let rate = match (rate, burst) {
        (None, None) => None,
        (None, Some(_)) => return Err(of("burst needs a rate, in images per second")),
        (Some(images), burst) => {
            let burst = burst.unwrap_or(images.max(1.0));
            if !(images > 0.0 && images <= MOST_RATE) {
                return Err(of("rate must be more than 0 and at most 1e9 images per second"));
            }
            if !(1.0..=MOST_RATE).contains(&burst) {
                return Err(of("burst must be 1 to 1e9 images"));
            }
            Some(Rate { images, burst })
        }
    };
    Ok(Entry { name, digest, scopes, rate })
}

/// Refuses what could not stand in logs and metrics.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let possible = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !(1..=MOST_NAME).contains(&name.len()) || !name.bytes().all(possible) {
        return Err(format!("is not 1 to {MOST_NAME} letters, digits and - _ ."));
    }
    Ok(())
}

fn from_hex(text: &str) -> Option<Digest> {
    let mut digest = Digest::default();
    let digits = text.as_bytes();
    if digits.len() != 2 * digest.len() {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = [pair[0], pair[1]].map(|digit| char::from(digit).to_digit(16));
        *byte = u8::try_from(high? * 16 + low?).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const SHA: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; // of abc

    fn parse(text: &str) -> Result<Keys, String> {
        Keys::parse(text.replace("SHA", SHA).as_bytes())
    }

    #[test]
    fn a_key_has_a_name_a_digest_scopes_and_perhaps_a_rate() {
        let keys = parse(
            "[[key]]\nname = 'shop'\nsha256 = 'SHA'\nscopes = ['infer']\nrate = 0.5\n\
             [[key]]\nname = 'ops'\nsha256 = 'AA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'\nscopes = ['infer', 'admin']",
        );
        let keys = keys.unwrap();
        let [shop, ops] = keys.entries() else { panic!("{keys:?}") };
        assert_eq!((shop.name.as_str(), shop.digest), ("shop", super::super::digest(b"abc")));
        assert_eq!(shop.rate, Some(Rate { images: 0.5, burst: 1.0 }));
        assert_eq!((ops.digest[0], ops.rate), (0xaa, None));
        assert!(keys.have(Scope::Admin));
        let rate = |text: &str| {
            let keys = parse(&format!("[[key]]\nname = 'a'\nsha256 = 'SHA'\nscopes = ['infer']\n{text}")).unwrap();
            keys.entries()[0].rate
        };
        assert_eq!(rate("rate = 100"), Some(Rate { images: 100.0, burst: 100.0 }));
        assert_eq!(rate("rate = 100\nburst = 200"), Some(Rate { images: 100.0, burst: 200.0 }));
    }

    #[test]
    fn what_is_wrong_is_told_with_the_name_of_the_key() {
        let key = |name: &str, rest: &str| format!("[[key]]\nname = '{name}'\n{rest}\n");
        let whole = "sha256 = 'SHA'\nscopes = ['infer']";
        for (text, words) in [
            (String::new(), "no [[key]]"),
            ("key = 1".to_owned(), "not of its kind"),
            (key("", whole), "name of key 1"),
            (key("a b", whole), "name of key 1"),
            (key(&"a".repeat(65), whole), "1 to 64"),
            (key("a", "sha256 = 'abc'\nscopes = ['infer']"), "key a: sha256"),
            (key("a", "sha256 = 'SHA'\nscopes = []"), "key a: it has no scopes"),
            (key("a", "sha256 = 'SHA'\nscopes = ['root']"), "line 4"),
            (key("a", "scopes = ['infer']"), "sha256"),
            (key("a", &format!("{whole}\nrate = 0")), "key a: rate"),
            (key("a", &format!("{whole}\nrate = nan")), "key a: rate"),
            (key("a", &format!("{whole}\nrate = inf")), "key a: rate"),
            (key("a", &format!("{whole}\nburst = 5")), "burst needs a rate"),
            (key("a", &format!("{whole}\nrate = 1\nburst = 0.5")), "burst must be 1"),
            (key("a", &format!("{whole}\nrates = 1")), "rates"),
            (key("a", whole) + &key("a", whole), "two keys have the name a"),
            (key("a", whole) + &key("b", whole), "key b is another key"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
        assert!(parse(&key(&"a".repeat(64), whole)).is_ok());
    }

    #[test]
    fn one_key_too_many_is_refused() {
        let file = |count: usize| -> String {
            (0..count)
                .map(|index| format!("[[key]]\nname = 'k{index}'\nsha256 = '{index:064x}'\nscopes = ['infer']\n"))
                .collect()
        };
        assert_eq!(parse(&file(MOST_KEYS)).unwrap().entries().len(), MOST_KEYS);
        assert!(parse(&file(MOST_KEYS + 1)).unwrap_err().contains("1000 are possible"));
    }

    #[test]
    fn an_error_quotes_nothing_that_could_be_a_key() {
        for text in [
            "[[key]]\nname = 'a'\nsha256 = cvn_secret",
            "[[key]]\nname = 'a'\nsha256 = 'cvn_secret",
            "[[key]]\nname = 'a'\nsha256 = 'cvn_secret'\nscopes = ['infer']",
            "[[key]]\nname = 'a'\nsha256 = ['cvn_secret']\nscopes = ['infer']",
            "[[key]]\nname = 'cvn_secret x'\nsha256 = 'SHA'\nscopes = ['infer']",
            "[[key]]\nname = 'a'\nsha256 = 'SHA'\nscopes = ['cvn_secret']",
            "key = 'cvn_secret'",
            "cvn_secret",
        ] {
            let error = parse(text).unwrap_err();
            assert!(!error.contains("secret"), "{text}: {error}");
        }
    }
}
