//! Memory of a device for images that wait, lent piece by piece. Decoders write pixels there, and the device reads them there.
//!
//! A pool is bounded, and nobody waits for a lease: when all pieces are lent, the image waits in plain memory and costs one more copy.
//! Not here: what is written into it (`image`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Memory of one kind of device for one image: plain on the CPU, pinned for a GPU.
pub trait Memory: AsRef<[u8]> + AsMut<[u8]> + Send + Sync {}

impl<M: AsRef<[u8]> + AsMut<[u8]> + Send + Sync> Memory for M {}

/// Allocates memory for one image; None when there is none.
type Allocate = Box<dyn Fn() -> Option<Box<dyn Memory>> + Send + Sync>;

/// A bounded number of pieces of memory of one size. A piece is allocated when it is first needed, and then kept.
pub struct LeasePool {
    piece: usize,
    limit: usize,
    allocate: Allocate,
    pieces: Mutex<Pieces>,
}

#[derive(Default)]
struct Pieces {
    free: Vec<Box<dyn Memory>>,
    allocated: usize,
}

impl LeasePool {
    /// A pool of at most `limit` pieces of `piece` bytes, which `allocate` makes.
    #[must_use]
    pub fn new(
        piece: usize,
        limit: usize,
        allocate: impl Fn() -> Option<Box<dyn Memory>> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { piece, limit, allocate: Box::new(allocate), pieces: Mutex::default() })
    }

    /// A pool of plain memory.
    #[must_use]
    pub fn plain(piece: usize, limit: usize) -> Arc<Self> {
        Self::new(piece, limit, move || {
            let mut bytes = Vec::new();
            bytes.try_reserve_exact(piece).ok()?;
            bytes.resize(piece, 0u8);
            Some(Box::new(bytes))
        })
    }

    /// Bytes of a piece.
    #[must_use]
    pub fn piece(&self) -> usize {
        self.piece
    }

    /// Pieces that are lent now.
    #[must_use]
    pub fn lent(&self) -> usize {
        let pieces = self.lock();
        pieces.allocated - pieces.free.len()
    }

    /// Lends a piece, which may hold old bytes. None when all are lent, or when the device has no memory for another.
    #[must_use]
    pub fn lease(self: &Arc<Self>) -> Option<Lease> {
        let mut pieces = self.lock();
        let memory = match pieces.free.pop() {
            Some(memory) => memory,
            None if pieces.allocated < self.limit => {
                // pinned memory takes its time: others give theirs back meanwhile
                pieces.allocated += 1;
                drop(pieces);
                match (self.allocate)() {
                    Some(memory) => memory,
                    None => {
                        self.lock().allocated -= 1;
                        return None;
                    }
                }
            }
            None => return None,
        };
        Some(Lease { memory: Some(memory), pool: Arc::clone(self) })
    }

    fn lock(&self) -> MutexGuard<'_, Pieces> {
        // a panic cannot leave the list and the count half changed
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for LeasePool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { piece, limit, .. } = self;
        f.debug_struct("LeasePool").field("piece", piece).field("limit", limit).field("lent", &self.lent()).finish()
    }
}

/// A piece of a pool's memory. It goes back to the pool when it is dropped.
pub struct Lease {
    /// Some until it is dropped.
    memory: Option<Box<dyn Memory>>,
    pool: Arc<LeasePool>,
}

impl AsRef<[u8]> for Lease {
    fn as_ref(&self) -> &[u8] {
        self.memory.as_ref().map_or(&[], |memory| (**memory).as_ref())
    }
}

impl AsMut<[u8]> for Lease {
    fn as_mut(&mut self) -> &mut [u8] {
        self.memory.as_mut().map_or(&mut [], |memory| (**memory).as_mut())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.lock().free.extend(self.memory.take());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn no_more_pieces_are_lent_than_there_may_be_and_each_comes_back() {
        let pool = LeasePool::plain(8, 2);
        let (first, second) = (pool.lease().unwrap(), pool.lease().unwrap());
        assert_eq!((first.as_ref().len(), pool.lent()), (8, 2));
        assert!(pool.lease().is_none());
        drop(first);
        assert_eq!(pool.lent(), 1);
        let mut again = pool.lease().unwrap();
        again.as_mut().fill(7);
        drop((second, again));
        assert_eq!(pool.lent(), 0);
    }

    #[test]
    fn memory_is_allocated_when_it_is_needed_and_then_kept() {
        let made = Arc::new(Mutex::new(0));
        let counter = Arc::clone(&made);
        let pool = LeasePool::new(4, 8, move || {
            let mut made = counter.lock().unwrap();
            *made += 1;
            (*made < 3).then(|| Box::new(vec![0u8; 4]) as Box<dyn Memory>)
        });
        assert_eq!(*made.lock().unwrap(), 0);
        for _ in 0..5 {
            drop(pool.lease().unwrap());
        }
        assert_eq!(*made.lock().unwrap(), 1);
        let _both = (pool.lease().unwrap(), pool.lease().unwrap());
        assert!(pool.lease().is_none(), "the device has no memory for a third");
    }
}
