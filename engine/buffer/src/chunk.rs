use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, Range};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use crate::BLOCK_BYTES;
use crate::pool::Shelf;

/// Memory with its reference count. Lives in a box of its own so that the block-aligned bytes
/// stay whole; the box travels with the memory through the pool, so reuse allocates nothing.
pub(crate) struct Chunk {
    references: AtomicUsize,
    memory: NonNull<u8>,
    capacity: usize,
    /// Where the chunk goes when its last reference is dropped. `None`: freed.
    home: Option<Arc<Shelf>>,
}

// SAFETY: a chunk owns its memory. Bytes below the published length are never written again, and
// those beyond it are touched by the one `ChunkWriter` alone.
unsafe impl Send for Chunk {}
// SAFETY: as above: shared access reads published bytes only.
unsafe impl Sync for Chunk {}

impl Chunk {
    pub(crate) fn allocate(capacity: usize, home: Option<Arc<Shelf>>) -> Box<Chunk> {
        let capacity = capacity.max(1).next_multiple_of(BLOCK_BYTES);
        let layout = Self::layout(capacity);
        // SAFETY: the layout has a non-zero size.
        let memory = unsafe { alloc_zeroed(layout) };
        let Some(memory) = NonNull::new(memory) else {
            handle_alloc_error(layout)
        };
        Box::new(Chunk {
            references: AtomicUsize::new(0),
            memory,
            capacity,
            home,
        })
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    fn layout(capacity: usize) -> Layout {
        Layout::from_size_align(capacity, BLOCK_BYTES).expect("a chunk is smaller than isize::MAX")
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // SAFETY: allocated with this very layout in `allocate`, and nobody refers to it any more.
        unsafe { dealloc(self.memory.as_ptr(), Self::layout(self.capacity)) }
    }
}

/// One counted reference to a chunk.
struct Reference(NonNull<Chunk>);

// SAFETY: `Chunk` is Send and Sync, and the count is atomic.
unsafe impl Send for Reference {}
// SAFETY: as above.
unsafe impl Sync for Reference {}

impl Reference {
    fn first(chunk: Box<Chunk>) -> Reference {
        chunk.references.store(1, Ordering::Relaxed);
        Reference(NonNull::from(Box::leak(chunk)))
    }

    fn chunk(&self) -> &Chunk {
        // SAFETY: this reference keeps the chunk alive.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for Reference {
    fn clone(&self) -> Reference {
        self.chunk().references.fetch_add(1, Ordering::Relaxed);
        Reference(self.0)
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        if self.chunk().references.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        fence(Ordering::Acquire);
        // SAFETY: the count went to zero here, so this is the only reference, and the pointer came
        // from `Box::leak`.
        let chunk = unsafe { Box::from_raw(self.0.as_ptr()) };
        if let Some(home) = chunk.home.clone() {
            home.put_back(chunk);
        }
    }
}

/// The one owner of a chunk's unpublished bytes.
pub struct ChunkWriter {
    reference: Reference,
    published: usize,
}

impl ChunkWriter {
    pub(crate) fn new(chunk: Box<Chunk>) -> ChunkWriter {
        ChunkWriter {
            reference: Reference::first(chunk),
            published: 0,
        }
    }

    /// A chunk outside any pool, of at least `capacity` bytes (rounded up to whole blocks).
    pub fn unpooled(capacity: usize) -> ChunkWriter {
        ChunkWriter::new(Chunk::allocate(capacity, None))
    }

    /// Bytes published so far.
    pub fn len(&self) -> usize {
        self.published
    }

    /// Whether nothing has been published.
    pub fn is_empty(&self) -> bool {
        self.published == 0
    }

    /// Bytes that the chunk can hold in all.
    pub fn capacity(&self) -> usize {
        self.reference.chunk().capacity
    }

    /// Bytes still free.
    pub fn remaining(&self) -> usize {
        self.capacity() - self.published
    }

    /// The free bytes. Their content is initialised but unspecified.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        let chunk = self.reference.chunk();
        let free = chunk.capacity - self.published;
        // SAFETY: in bounds, initialised (allocated zeroed), and disjoint from every slice, which
        // sees published bytes only; `&mut self` makes this the only borrow of the rest.
        unsafe { std::slice::from_raw_parts_mut(chunk.memory.as_ptr().add(self.published), free) }
    }

    /// Makes the next `count` bytes of [`Self::spare_mut`] visible to slices, for good.
    ///
    /// # Panics
    /// When fewer than `count` bytes are free.
    pub fn publish(&mut self, count: usize) -> Slice {
        assert!(
            count <= self.remaining(),
            "publish {count} of {} free bytes",
            self.remaining()
        );
        let start = self.published;
        self.published += count;
        self.slice(start..self.published)
    }

    /// Copies `bytes` in and publishes them.
    ///
    /// # Panics
    /// When fewer than `bytes.len()` bytes are free.
    pub fn append(&mut self, bytes: &[u8]) -> Slice {
        self.spare_mut()[..bytes.len()].copy_from_slice(bytes);
        self.publish(bytes.len())
    }

    /// A view of published bytes.
    ///
    /// # Panics
    /// When the range reaches beyond the published length.
    pub fn slice(&self, range: Range<usize>) -> Slice {
        assert!(range.start <= range.end && range.end <= self.published);
        Slice {
            reference: Some(self.reference.clone()),
            start: range.start,
            len: range.end - range.start,
        }
    }
}

impl Drop for ChunkWriter {
    fn drop(&mut self) {
        if let Some(home) = &self.reference.chunk().home {
            home.writer_ended();
        }
    }
}

/// A shared, immutable view of published bytes; cheap to clone and to send to another core.
#[derive(Clone, Default)]
pub struct Slice {
    /// `None` for the empty slice only.
    reference: Option<Reference>,
    start: usize,
    len: usize,
}

impl Slice {
    /// A slice of a fresh chunk that holds a copy of `bytes`.
    pub fn copy_of(bytes: &[u8]) -> Slice {
        if bytes.is_empty() {
            return Slice::default();
        }
        ChunkWriter::unpooled(bytes.len()).append(bytes)
    }

    /// A part of this slice.
    ///
    /// # Panics
    /// When the range reaches beyond the slice.
    pub fn slice(&self, range: Range<usize>) -> Slice {
        assert!(range.start <= range.end && range.end <= self.len);
        Slice {
            reference: self.reference.clone(),
            start: self.start + range.start,
            len: range.end - range.start,
        }
    }

    /// Appends `next` when it lies right behind this slice in the same chunk; otherwise gives it
    /// back. Lets many batches leave as one piece.
    pub fn join(&mut self, next: Slice) -> Result<(), Slice> {
        let adjacent = match (&self.reference, &next.reference) {
            (Some(a), Some(b)) => a.0 == b.0 && self.start + self.len == next.start,
            _ => false,
        };
        if !adjacent {
            return Err(next);
        }
        self.len += next.len;
        Ok(())
    }
}

impl Deref for Slice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let Some(reference) = &self.reference else {
            return &[];
        };
        let chunk = reference.chunk();
        // SAFETY: in bounds of published bytes (checked where the slice was made), which are
        // initialised and never written again while a reference lives.
        unsafe { std::slice::from_raw_parts(chunk.memory.as_ptr().add(self.start), self.len) }
    }
}

impl AsRef<[u8]> for Slice {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl std::fmt::Debug for Slice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Slice({} bytes)", self.len)
    }
}

impl PartialEq for Slice {
    fn eq(&self, other: &Slice) -> bool {
        **self == **other
    }
}

impl Eq for Slice {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_keeps_its_bytes_while_the_writer_goes_on() {
        let mut writer = ChunkWriter::unpooled(100);
        let first = writer.append(b"furrow");
        let second = writer.append(b"ploughed");
        assert_eq!(&first[..], b"furrow");
        assert_eq!(&second[..], b"ploughed");
        drop(writer);
        assert_eq!(&second.slice(0..6)[..], b"plough");
    }

    #[test]
    fn adjacent_slices_join_and_others_do_not() {
        let mut writer = ChunkWriter::unpooled(100);
        let mut first = writer.append(b"ab");
        let second = writer.append(b"cd");
        let third = writer.append(b"ef");
        assert!(first.join(third.clone()).is_err());
        first.join(second).unwrap();
        first.join(third).unwrap();
        assert_eq!(&first[..], b"abcdef");
        assert!(first.join(Slice::copy_of(b"gh")).is_err());
    }

    #[test]
    fn memory_is_aligned_to_blocks() {
        let mut writer = ChunkWriter::unpooled(1);
        assert_eq!(writer.capacity(), BLOCK_BYTES);
        assert_eq!(writer.spare_mut().as_ptr() as usize % BLOCK_BYTES, 0);
    }
}
