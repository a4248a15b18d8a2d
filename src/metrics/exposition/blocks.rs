//! The memory that bodies are made of, used again and again.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Large enough that neither the chunk list nor the writes to a socket show in a profile, small enough
/// that the last, part-filled block wastes little.
pub(super) const BLOCK: usize = 128 * 1024;

/// Blocks that wait for their next use. A cheap handle.
///
/// A body is large and short-lived, and allocators give such memory back to the kernel and fetch it
/// anew, page by page, at every scrape: that took as long as writing the body into it. What waits here
/// is at most as much as the largest body so far, so the peak stays as it was.
#[derive(Clone, Debug, Default)]
pub(super) struct Blocks(Arc<Mutex<Shelf>>);

#[derive(Debug, Default)]
struct Shelf {
    free: Vec<Vec<u8>>,
    /// How many may wait.
    room: usize,
}

impl Blocks {
    /// An empty block.
    pub(super) fn take(&self) -> Vec<u8> {
        let free = self.waiting().free.pop();
        free.unwrap_or_else(|| Vec::with_capacity(BLOCK))
    }

    /// Makes a filled block part of a body. It comes back here once nobody needs it any more.
    pub(super) fn seal(&self, content: Vec<u8>) -> Bytes {
        Bytes::from_owner(Sealed {
            content,
            home: self.clone(),
        })
    }

    /// Takes back what was never sealed.
    pub(super) fn put_back(&self, mut block: Vec<u8>) {
        // One that had to grow, for a piece that is longer than a block, isn't kept.
        if block.capacity() < 2 * BLOCK {
            block.clear();
            let mut waiting = self.waiting();
            if waiting.free.len() < waiting.room {
                waiting.free.push(block);
            }
        }
    }

    /// Learns of how many blocks a body was made.
    pub(super) fn make_room(&self, blocks: usize) {
        let mut waiting = self.waiting();
        waiting.room = waiting.room.max(blocks);
    }

    fn waiting(&self) -> MutexGuard<'_, Shelf> {
        // Every change is a single push or pop.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A block in a body.
struct Sealed {
    content: Vec<u8>,
    home: Blocks,
}

impl AsRef<[u8]> for Sealed {
    fn as_ref(&self) -> &[u8] {
        &self.content
    }
}

impl Drop for Sealed {
    fn drop(&mut self) {
        self.home.put_back(mem::take(&mut self.content));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(blocks: &Blocks) -> Vec<u8> {
        let mut block = blocks.take();
        block.extend_from_slice(b"text");
        block
    }

    #[test]
    fn a_block_is_used_again_and_comes_empty() {
        let blocks = Blocks::default();
        blocks.make_room(1);
        let block = filled(&blocks);
        let address = block.as_ptr();
        let sealed = blocks.seal(block);
        assert_eq!(sealed, "text");
        let shared = sealed.clone();
        drop(sealed);
        let other = blocks.take();
        assert_ne!(other.as_ptr(), address, "it is still being read");
        drop(shared);
        let again = blocks.take();
        assert_eq!(again.as_ptr(), address);
        assert!(again.is_empty());
    }

    #[test]
    fn no_more_wait_than_the_largest_body_needs() {
        let blocks = Blocks::default();
        let bodies: Vec<_> = (0..5).map(|_| blocks.seal(filled(&blocks))).collect();
        blocks.make_room(3);
        blocks.make_room(2);
        drop(bodies);
        assert_eq!(blocks.waiting().free.len(), 3);
    }

    #[test]
    fn a_block_that_grew_is_not_kept() {
        let blocks = Blocks::default();
        blocks.make_room(1);
        drop(blocks.seal(vec![0; 3 * BLOCK]));
        assert!(blocks.waiting().free.is_empty());
    }
}
