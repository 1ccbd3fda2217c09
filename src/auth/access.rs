//! Whether whoever asks may: the keys that hold now, and the answer for one request.
//!
//! A key is compared by its digest with those of all keys, in a time that depends on their number alone.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use axum::http::HeaderMap;
use subtle::ConstantTimeEq as _;

use super::file::{Entry, Keys};
use super::limiter::Limiter;
use super::{Digest, Scope, digest, presented};
use crate::metrics::AccessCounts;
use crate::service::Meter;

/// What an operator has decided, beside the keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Whoever asks for more than a probe needs a certificate, and the handshake does not see to it.
    pub certificates: bool,
    /// Metrics need a key.
    pub metrics: bool,
}

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: whoever runs the server has probes without keys and certificates.
    Probe,
    /// No key: what tells nothing of this server.
    Open,
    /// What is told to whoever scrapes.
    Metrics,
    /// A key of this scope.
    Key(Scope),
}

/// Knows who may ask; clones are the same one. Without keys and certificates there is none of it.
#[derive(Clone)]
pub struct Access(Arc<State>);

struct State {
    /// None where no file of keys is configured: a certificate is then all that is needed.
    keys: Option<RwLock<Arc<[Arc<Key>]>>>,
    policy: Policy,
    counts: AccessCounts,
}

struct Key {
    name: Arc<str>,
    digest: Digest,
    scopes: Vec<Scope>,
    limiter: Option<Arc<Limiter>>,
    /// It stands no longer in the file.
    revoked: AtomicBool,
}

/// The key of a request.
#[derive(Clone)]
pub struct Caller(Arc<Key>);

/// Why a request may not be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The connection has no client certificate.
    #[error("a client certificate is needed; without one only probes are answered")]
    NoCertificate,
    /// The request shows no key.
    #[error("an API key is needed, as `Authorization: Bearer KEY` or `X-API-Key: KEY`")]
    NoKey,
    /// There is no such key.
    #[error("the API key is not known")]
    UnknownKey,
    /// The key is for something else.
    #[error("key {name} has not the scope {scope}")]
    Scope {
        /// The key's name.
        name: Arc<str>,
        /// What is needed.
        scope: Scope,
    },
}

impl Refused {
    /// Whether another key might do, where this says who asks.
    #[must_use]
    pub fn is_known(&self) -> bool {
        matches!(self, Self::Scope { .. })
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::NoKey => "no_key",
            Self::UnknownKey => "unknown_key",
            Self::Scope { .. } => "scope",
        }
    }
}

impl Access {
    /// With these keys, or with certificates alone.
    #[must_use]
    pub fn new(keys: Option<&Keys>, policy: Policy, counts: AccessCounts) -> Self {
        let keys = keys.map(|keys| RwLock::new(table(keys, &[], &counts)));
        Self(Arc::new(State { keys, policy, counts }))
    }

    /// These keys hold from now on. A key that stays keeps what it has spent of its rate.
    pub fn replace(&self, keys: &Keys) {
        let Some(held) = &self.0.keys else { return };
        let mut held = held.write().unwrap_or_else(PoisonError::into_inner);
        let new = table(keys, &held, &self.0.counts);
        for old in held.iter() {
            let same = new.iter().find(|key| key.name == old.name);
            let holds =
                |key: &&Arc<Key>| key.digest == old.digest && old.scopes.iter().all(|scope| key.scopes.contains(scope));
            if same.filter(holds).is_none() {
                old.revoked.store(true, Ordering::Relaxed);
            }
            if same.is_none_or(|key| key.limiter.is_none()) {
                self.0.counts.forget(&old.name);
            }
        }
        *held = new;
    }

    /// The key of a request that may be; None where it needs none.
    ///
    /// # Errors
    /// Why it may not.
    pub fn check(&self, headers: &HeaderMap, has_certificate: bool, need: Need) -> Result<Option<Caller>, Refused> {
        let found = self.find(headers, has_certificate, need);
        found.inspect_err(|refused| self.0.counts.refused(refused.reason()))
    }

    fn find(&self, headers: &HeaderMap, has_certificate: bool, need: Need) -> Result<Option<Caller>, Refused> {
        let State { keys, policy, .. } = &*self.0;
        if policy.certificates && !has_certificate && need != Need::Probe {
            return Err(Refused::NoCertificate);
        }
        let scope = match need {
            Need::Key(scope) => Some(scope),
            Need::Metrics if policy.metrics => None,
            Need::Probe | Need::Open | Need::Metrics => return Ok(None),
        };
        let Some(keys) = keys else { return Ok(None) };
        let shown = digest(presented::key(headers).ok_or(Refused::NoKey)?);
        let keys = Arc::clone(&keys.read().unwrap_or_else(PoisonError::into_inner));
        let mut found = None;
        for key in keys.iter() {
            // all of them, whether one was found or not
            if bool::from(key.digest.ct_eq(&shown)) {
                found = Some(key);
            }
        }
        let key = found.ok_or(Refused::UnknownKey)?;
        match scope {
            Some(scope) if !key.scopes.contains(&scope) => Err(Refused::Scope { name: Arc::clone(&key.name), scope }),
            _ => Ok(Some(Caller(Arc::clone(key)))),
        }
    }
}

fn table(keys: &Keys, before: &[Arc<Key>], counts: &AccessCounts) -> Arc<[Arc<Key>]> {
    let key = |Entry { name, digest, scopes, rate }: &Entry| {
        let before = before.iter().find(|key| *key.name == **name).and_then(|key| key.limiter.as_deref());
        let limiter = rate.map(|rate| Arc::new(Limiter::new(name, rate, counts.rate_limited(name), before)));
        Arc::new(Key {
            name: name.as_str().into(),
            digest: *digest,
            scopes: scopes.clone(),
            limiter,
            revoked: AtomicBool::new(false),
        })
    };
    keys.entries().iter().map(key).collect()
}

impl Caller {
    /// The key's name, which may stand in logs and metrics.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// Whether the key holds no longer, for what goes on after it was checked.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.0.revoked.load(Ordering::Relaxed)
    }

    /// What holds the key to its rate, if it has one.
    #[must_use]
    pub fn meter(&self) -> Option<Arc<dyn Meter>> {
        self.0.limiter.clone().map(|limiter| limiter as Arc<dyn Meter>)
    }
}

/// Not the digests.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("policy", &self.0.policy).finish_non_exhaustive()
    }
}

impl PartialEq for Access {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Access {}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::fmt::Write as _;
    use std::time::Duration;

    use axum::http::HeaderValue;

    use super::*;
    use crate::metrics::Metrics;

    const INFER: Need = Need::Key(Scope::Infer);
    const ADMIN: Need = Need::Key(Scope::Admin);

    /// A file of keys that are their own names, each with its scopes and rate.
    fn keys(entries: &[(&str, &str, &str)]) -> Keys {
        let mut text = String::new();
        for (name, scopes, rate) in entries {
            let sha: String = digest(name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
            write!(text, "[[key]]\nname = '{name}'\nsha256 = '{sha}'\nscopes = [{scopes}]\n{rate}\n").unwrap();
        }
        Keys::parse(text.as_bytes()).unwrap()
    }

    fn access(keys: &Keys, policy: Policy) -> Access {
        Access::new(Some(keys), policy, Metrics::new().unwrap().access())
    }

    fn shows(key: &str) -> HeaderMap {
        HeaderMap::from_iter([("x-api-key".parse().unwrap(), HeaderValue::from_str(key).unwrap())])
    }

    fn name(found: Result<Option<Caller>, Refused>) -> Result<Option<String>, Refused> {
        found.map(|caller| caller.map(|caller| caller.name().to_string()))
    }

    #[test]
    fn a_key_opens_what_it_is_for_and_nothing_else() {
        let access = access(&keys(&[("shop", "'infer'", ""), ("ops", "'admin'", "")]), Policy::default());
        let check = |key: &str, need| name(access.check(&shows(key), false, need));
        assert_eq!(check("shop", INFER), Ok(Some("shop".into())));
        assert_eq!(check("ops", ADMIN), Ok(Some("ops".into())));
        assert_eq!(check("shop", ADMIN), Err(Refused::Scope { name: "shop".into(), scope: Scope::Admin }));
        assert_eq!(check("ops", INFER), Err(Refused::Scope { name: "ops".into(), scope: Scope::Infer }));
        for wrong in ["sho", "shopp", "SHOP", "x"] {
            assert_eq!(check(wrong, INFER), Err(Refused::UnknownKey), "{wrong}");
        }
        assert_eq!(name(access.check(&HeaderMap::new(), false, INFER)), Err(Refused::NoKey));
        for open in [Need::Probe, Need::Open, Need::Metrics] {
            assert_eq!(name(access.check(&HeaderMap::new(), false, open)), Ok(None));
        }
    }

    #[test]
    fn metrics_need_any_key_where_the_operator_wants_it() {
        let policy = Policy { metrics: true, ..Policy::default() };
        let access = access(&keys(&[("ops", "'admin'", "")]), policy);
        assert_eq!(name(access.check(&HeaderMap::new(), false, Need::Metrics)), Err(Refused::NoKey));
        assert_eq!(name(access.check(&shows("ops"), false, Need::Metrics)), Ok(Some("ops".into())));
    }

    #[test]
    fn without_a_certificate_only_probes_are_answered() {
        let policy = Policy { certificates: true, ..Policy::default() };
        let access = Access::new(None, policy, Metrics::new().unwrap().access());
        for need in [Need::Open, Need::Metrics, INFER, ADMIN] {
            assert_eq!(name(access.check(&HeaderMap::new(), false, need)), Err(Refused::NoCertificate));
            assert_eq!(name(access.check(&HeaderMap::new(), true, need)), Ok(None));
        }
        assert_eq!(name(access.check(&HeaderMap::new(), false, Need::Probe)), Ok(None));
    }

    #[test]
    fn other_keys_hold_at_once_and_those_that_went_are_revoked() {
        let access = access(&keys(&[("old", "'infer'", ""), ("both", "'infer'", "")]), Policy::default());
        let [old, both] = ["old", "both"].map(|key| access.check(&shows(key), false, INFER).unwrap().unwrap());
        access.replace(&keys(&[("both", "'infer'", ""), ("new", "'infer'", "")]));
        assert!(old.is_revoked() && !both.is_revoked());
        assert_eq!(name(access.check(&shows("old"), false, INFER)), Err(Refused::UnknownKey));
        assert_eq!(name(access.check(&shows("new"), false, INFER)), Ok(Some("new".into())));
        access.replace(&keys(&[("both", "'admin', 'infer'", "")]));
        assert!(!both.is_revoked(), "it is for more now");
        let both = access.check(&shows("both"), false, INFER).unwrap().unwrap();
        access.replace(&keys(&[("both", "'admin'", "")]));
        assert!(both.is_revoked(), "it is for something else now");
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_held_to_its_rate_also_when_the_file_is_read_again() {
        let metrics = Metrics::new().unwrap();
        let file = keys(&[("shop", "'infer'", "rate = 2\nburst = 3")]);
        let access = Access::new(Some(&file), Policy::default(), metrics.access());
        let meter = |access: &Access| access.check(&shows("shop"), false, INFER).unwrap().unwrap().meter().unwrap();
        meter(&access).begin().unwrap();
        meter(&access).more(2);
        let spent = meter(&access).begin().unwrap_err();
        assert_eq!(spent.retry_after, Duration::from_millis(500));
        assert_eq!(spent.what, "key shop may have 2 images/s, 3 at once");
        access.replace(&file);
        assert!(meter(&access).begin().is_err(), "a file that is written anew gives no new burst");
        tokio::time::advance(Duration::from_millis(500)).await;
        meter(&access).begin().unwrap();
        let limited = |metrics: &Metrics| {
            let text = String::from_utf8(metrics.encode().unwrap().0).unwrap();
            text.lines().find(|line| line.starts_with("convnext_rate_limited_total{")).map(str::to_owned)
        };
        assert_eq!(limited(&metrics).as_deref(), Some("convnext_rate_limited_total{key=\"shop\"} 2"));
        access.replace(&keys(&[("other", "'infer'", "")]));
        assert_eq!(limited(&metrics), None, "the series of a key ends with it");
    }

    #[test]
    fn nothing_that_is_shown_of_it_has_a_digest() {
        let access = access(&keys(&[("shop", "'infer'", "")]), Policy::default());
        assert_eq!(format!("{access:?}"), "Access { policy: Policy { certificates: false, metrics: false }, .. }");
    }
}
