//! What waits to be sent to one client, as bytes in order.
//!
//! ```text
//!   segments (big payloads shared with other outboxes, and what stood before them) ──▶ open (small frames, copied) ◀── append
//!   ▲ front, `sent` bytes of it are gone
//! ```
//!
//! Nearly always all of it is `open`: one buffer that a flush writes in one go. An empty outbox holds no memory; what the last one held is
//! the thread's, for the next one that has something to send.

use std::cell::RefCell;
use std::collections::VecDeque;

use bytes::Bytes;

/// Payloads from this size on are shared between outboxes; below it a copy is cheaper than counting references.
pub(super) const SHARED_BYTES_MIN: usize = 4096;

/// Buffers that a thread keeps for the next outboxes, and how large each may be: a quarter of a MiB at the most.
const SPARES_MAX: usize = 64;
const SPARE_BYTES_MAX: usize = 4096;

thread_local! {
    /// Empty buffers that have grown to what a round needs.
    static SPARES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    segments: VecDeque<Bytes>,
    open: Vec<u8>,
    /// Bytes of the front that have been sent.
    sent: usize,
    /// Bytes that wait, all in all.
    len: usize,
}

impl Outbox {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether `more` bytes may be appended under `limit`. A lone frame always may: it was within the client's own limits.
    pub(super) fn has_room(&self, more: usize, limit: usize) -> bool {
        self.len == 0 || self.len + more <= limit
    }

    /// Appends what `write` appends to the buffer it is given; `expected` bytes are reserved.
    pub(super) fn append_with(&mut self, expected: usize, write: impl FnOnce(&mut Vec<u8>)) {
        if self.open.capacity() == 0 {
            self.open = take_spare();
        }
        let before = self.open.len();
        self.open.reserve(expected);
        write(&mut self.open);
        self.len += self.open.len() - before;
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.append_with(bytes.len(), |open| open.extend_from_slice(bytes));
    }

    /// Appends bytes that others send as well, without a copy.
    pub(super) fn append_shared(&mut self, bytes: Bytes) {
        if !self.open.is_empty() {
            self.segments.push_back(std::mem::take(&mut self.open).into());
        }
        self.len += bytes.len();
        self.segments.push_back(bytes);
    }

    /// The next bytes to send, as many as lie together.
    pub(super) fn front(&self) -> &[u8] {
        let front = self.segments.front().map_or(self.open.as_slice(), |segment| segment);
        &front[self.sent..]
    }

    /// Forgets the first `count` bytes of [`Self::front`].
    pub(super) fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.front().len());
        self.sent += count;
        self.len -= count;
        if !self.front().is_empty() {
            return;
        }
        self.sent = 0;
        if self.segments.pop_front().is_none() {
            keep_spare(std::mem::take(&mut self.open));
        } else if self.segments.is_empty() {
            self.segments = VecDeque::new();
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

fn take_spare() -> Vec<u8> {
    SPARES.try_with(|spares| spares.borrow_mut().pop()).ok().flatten().unwrap_or_default()
}

fn keep_spare(mut buffer: Vec<u8>) {
    if buffer.capacity() > SPARE_BYTES_MAX {
        return;
    }
    buffer.clear();
    // A thread that ends keeps nothing.
    let _ = SPARES.try_with(|spares| {
        let mut spares = spares.borrow_mut();
        if spares.len() < SPARES_MAX {
            spares.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends everything, `step` bytes at the most at a time.
    fn drain(outbox: &mut Outbox, step: usize) -> Vec<u8> {
        let mut sent = Vec::new();
        while !outbox.is_empty() {
            let count = outbox.front().len().min(step);
            assert!(count > 0, "bytes wait but none are in front");
            sent.extend_from_slice(&outbox.front()[..count]);
            outbox.consume(count);
        }
        sent
    }

    #[test]
    fn sends_in_order_however_the_socket_takes_it() {
        for step in 1..20 {
            let mut outbox = Outbox::default();
            outbox.append(b"one,");
            outbox.append(b"two,");
            outbox.append_shared(Bytes::from_static(b"shared,"));
            outbox.append_shared(Bytes::from_static(b"again,"));
            outbox.append(b"three");
            assert_eq!(outbox.len(), 26);
            assert_eq!(drain(&mut outbox, step), b"one,two,shared,again,three");
        }
    }

    #[test]
    fn appending_amid_a_partial_write_keeps_the_order() {
        let mut outbox = Outbox::default();
        outbox.append(b"abcdef");
        outbox.consume(4);
        outbox.append(b"gh");
        outbox.append_shared(Bytes::from_static(b"ij"));
        outbox.append(b"k");
        assert_eq!(drain(&mut outbox, 3), b"efghijk");
    }

    #[test]
    fn holds_no_memory_once_sent() {
        let mut outbox = Outbox::default();
        outbox.append(&[0; 1000]);
        outbox.append_shared(Bytes::from(vec![0; 1000]));
        outbox.append(&[0; 1000]);
        drain(&mut outbox, usize::MAX);
        assert_eq!((outbox.open.capacity(), outbox.segments.capacity()), (0, 0));
    }

    #[test]
    fn a_lone_frame_may_exceed_the_limit() {
        let mut outbox = Outbox::default();
        assert!(outbox.has_room(100, 10));
        outbox.append(b"x");
        assert!(outbox.has_room(9, 10));
        assert!(!outbox.has_room(10, 10));
    }
}
