//! Handles: what clients hold instead of streams, events, modules. Numbers that look like pointers, never pointers: nothing that a client
//! passes is followed before it was found here. No number is given twice, so that what was destroyed is told from what never was.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::code::Code;

/// A `CUstream`, `CUevent`, `CUmodule` …
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(pub usize);

impl Handle {
    /// The null pointer.
    pub const NULL: Self = Self(0);

    /// One that nobody has had.
    pub(super) fn fresh() -> Self {
        /// Above the first page, whose numbers mean special streams.
        static NEXT: AtomicUsize = AtomicUsize::new(0x10000);
        Self(NEXT.fetch_add(0x10, Relaxed))
    }
}

/// What handles of one kind stand for.
pub(super) struct Registry<T> {
    live: BTreeMap<Handle, T>,
    dead: HashSet<Handle>,
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self { live: BTreeMap::new(), dead: HashSet::new() }
    }
}

impl<T> Registry<T> {
    pub(super) fn add(&mut self, value: T) -> Handle {
        let handle = Handle::fresh();
        self.put(handle, value);
        handle
    }

    /// Under a fresh handle that was made for it before.
    pub(super) fn put(&mut self, handle: Handle, value: T) {
        self.live.insert(handle, value);
    }

    pub(super) fn find(&self, handle: Handle) -> Option<&T> {
        self.live.get(&handle)
    }

    pub(super) fn find_mut(&mut self, handle: Handle) -> Option<&mut T> {
        self.live.get_mut(&handle)
    }

    /// What a handle stands for; of one that was never given, `INVALID_HANDLE`, of one that was destroyed, what its kind answers.
    pub(super) fn get(&self, handle: Handle, destroyed: Code) -> Result<&T, Code> {
        self.live.get(&handle).ok_or_else(|| self.missing(handle, destroyed))
    }

    pub(super) fn get_mut(&mut self, handle: Handle, destroyed: Code) -> Result<&mut T, Code> {
        let missing = self.missing(handle, destroyed);
        self.live.get_mut(&handle).ok_or(missing)
    }

    pub(super) fn remove(&mut self, handle: Handle, destroyed: Code) -> Result<T, Code> {
        let found = self.live.remove(&handle).ok_or_else(|| self.missing(handle, destroyed))?;
        self.dead.insert(handle);
        Ok(found)
    }

    /// Removes all of which something holds, as those of a context that ends.
    pub(super) fn remove_all(&mut self, which: impl Fn(&T) -> bool) -> Vec<(Handle, T)> {
        let gone: Vec<Handle> = self.live.iter().filter(|(_, value)| which(value)).map(|(handle, _)| *handle).collect();
        self.dead.extend(&gone);
        gone.into_iter().filter_map(|handle| Some((handle, self.live.remove(&handle)?))).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Handle, &T)> {
        self.live.iter().map(|(handle, value)| (*handle, value))
    }

    pub(super) fn was_destroyed(&self, handle: Handle) -> bool {
        self.dead.contains(&handle)
    }

    fn missing(&self, handle: Handle, destroyed: Code) -> Code {
        if self.was_destroyed(handle) { destroyed } else { Code::INVALID_HANDLE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destroyed_handle_is_told_from_one_that_never_was() {
        let mut registry = Registry::default();
        let handle = registry.add(1);
        assert_eq!(registry.get(handle, Code::CONTEXT_IS_DESTROYED), Ok(&1));
        assert_eq!(registry.remove(handle, Code::CONTEXT_IS_DESTROYED), Ok(1));
        assert_eq!(registry.get(handle, Code::CONTEXT_IS_DESTROYED), Err(Code::CONTEXT_IS_DESTROYED));
        assert_eq!(registry.get(Handle(0x1234), Code::CONTEXT_IS_DESTROYED), Err(Code::INVALID_HANDLE));
        assert_ne!(registry.add(2), handle);
    }
}
