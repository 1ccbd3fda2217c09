//! Budgets of admission: so much may be held at a time, and what is held is given back by dropping it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An amount of something (images, bytes, pixels) that may be held at most.
#[derive(Debug)]
pub(super) struct Budget {
    limit: u64,
    used: AtomicU64,
}

/// A part of a budget, held until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    amount: u64,
}

impl Budget {
    pub(super) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicU64::new(0) })
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether so much could be taken now.
    pub(super) fn has(&self, amount: u64) -> bool {
        self.used().checked_add(amount).is_some_and(|sum| sum <= self.limit)
    }

    /// A share of nothing, to grow.
    pub(super) fn nothing(self: &Arc<Self>) -> Share {
        Share { budget: Arc::clone(self), amount: 0 }
    }

    /// Takes the whole amount or nothing.
    pub(super) fn take(self: &Arc<Self>, amount: u64) -> Option<Share> {
        let fits = |used: u64| used.checked_add(amount).filter(|sum| *sum <= self.limit);
        self.used.fetch_update(Ordering::AcqRel, Ordering::Relaxed, fits).ok()?;
        Some(Share { budget: Arc::clone(self), amount })
    }
}

impl Share {
    /// How much it is.
    pub(super) fn amount(&self) -> u64 {
        self.amount
    }

    /// Holds `amount` from now on, more or less than before; when there is not as much, all stays as it was and the answer is false.
    pub(super) fn resize(&mut self, amount: u64) -> bool {
        if let Some(more) = amount.checked_sub(self.amount) {
            let Some(mut extra) = self.budget.take(more) else { return false };
            extra.amount = 0; // it lives on in self
        } else {
            self.budget.used.fetch_sub(self.amount - amount, Ordering::AcqRel);
        }
        self.amount = amount;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.amount, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_amount_over_the_limit_is_refused_whole() {
        let budget = Budget::new(3);
        let two = budget.take(2);
        assert!(two.is_some() && budget.take(2).is_none());
        assert_eq!(budget.used(), 2);
        drop(two);
        assert!(budget.take(3).is_some());
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_share_grows_whole_or_not_at_all_and_shrinks() {
        let budget = Budget::new(10);
        let mut share = budget.take(1).unwrap();
        assert!(!share.resize(11));
        assert_eq!(budget.used(), 1);
        assert!(share.resize(10) && share.resize(4));
        assert_eq!(budget.used(), 4);
        drop(share);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn an_absurd_amount_does_not_wrap_around() {
        let budget = Budget::new(u64::MAX);
        let _all = budget.take(u64::MAX - 1).unwrap();
        assert!(budget.take(u64::MAX).is_none());
    }
}
