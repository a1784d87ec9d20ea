//! The bounded buffer between sessions and the pipeline: numbers rows, drops the oldest when full.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::row::{self, BookMessage, Header, Name, Row, Rows, Status};

/// The venue of rows that this program writes about itself.
pub const SELF: &str = "monitor";

/// Shared by all sessions of a feed; every method may be called from any thread.
#[derive(Debug)]
pub struct Buffer {
    inner: Mutex<Inner>,
    filled: Condvar,
    capacity_rows: usize,
    overflows: AtomicU64,
    /// By how much the receive clock was set forward in all, in ns.
    stepped_ns: AtomicI64,
}

#[derive(Debug, Default)]
struct Inner {
    rows: Rows,
    names: Vec<Arc<str>>,
    by_name: FxHashMap<Arc<str>, Name>,
    next_message: u64,
    dropped: Option<Dropped>,
    /// Instruments whose book rows were dropped and not yet followed by a whole book.
    cut: FxHashSet<(Name, Option<Name>)>,
    /// Those of them that no session has taken up to write the whole book again.
    unclaimed_cuts: FxHashSet<(Name, Option<Name>)>,
    closed: bool,
}

/// The rows dropped since the last drain: how many, and the span of their `ord`.
#[derive(Debug)]
struct Dropped {
    count: u64,
    first_ord: u64,
    next_ord: u64,
}

/// What one drain brings: the rows of all kinds and the names they refer to.
#[derive(Debug)]
pub struct Drained {
    pub rows: Rows,
    pub names: Vec<Arc<str>>,
}

impl Buffer {
    /// `capacity_rows` bounds the rows of the kinds that may be dropped.
    pub fn new(capacity_rows: usize) -> Self {
        let (inner, filled, overflows) = (Mutex::default(), Condvar::new(), AtomicU64::new(0));
        let stepped_ns = AtomicI64::new(0);
        Buffer { inner, filled, capacity_rows, overflows, stepped_ns }
    }

    pub fn intern(&self, text: &str) -> Name {
        self.lock().intern(text)
    }

    /// Take the rows of `rows` as whole messages, numbering them in the order they come.
    ///
    /// Message numbers must be counted from 0 in each call.
    pub fn push(&self, rows: &mut Rows, messages: u64) {
        if rows.is_empty() {
            return;
        }
        let mut inner = self.lock();
        let base = inner.next_message;
        inner.next_message += messages;
        renumber(&mut rows.quotes, base);
        renumber(&mut rows.trades, base);
        renumber(&mut rows.books, base);
        renumber(&mut rows.depths, base);
        renumber(&mut rows.stats, base);
        renumber(&mut rows.frames, base);
        inner.rows.append(rows);
        if inner.rows.droppable_len() > self.capacity_rows {
            self.overflows.fetch_add(1, Ordering::Relaxed);
        }
        while inner.rows.droppable_len() > self.capacity_rows {
            inner.drop_oldest_message();
        }
        drop(inner);
        self.filled.notify_one();
    }

    /// Wait for the first row, `linger` for more, and take all; None if nothing came within `wait`.
    pub fn drain(&self, wait: Duration, linger: Duration) -> Option<Drained> {
        let empty = |inner: &mut Inner| inner.is_empty() && !inner.closed;
        let waited = self.filled.wait_timeout_while(self.lock(), wait, empty);
        let (inner, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if inner.is_empty() {
            return None;
        }
        let open = |inner: &mut Inner| !inner.closed;
        let lingered = self.filled.wait_timeout_while(inner, linger, open);
        let (mut inner, _) = lingered.unwrap_or_else(PoisonError::into_inner);
        inner.mark_cut_books();
        inner.tell_dropped();
        Some(Drained { rows: inner.rows.take(), names: inner.names.clone() })
    }

    /// How often it was full: once more means that rows of books may have been dropped.
    pub fn overflows(&self) -> u64 {
        self.overflows.load(Ordering::Relaxed)
    }

    /// Whether rows of an instrument's book were dropped since this was last asked.
    pub fn take_cut(&self, venue: Name, symbol: Name) -> bool {
        self.lock().unclaimed_cuts.remove(&(venue, Some(symbol)))
    }

    /// Whether so many rows may be added that nobody waits for: they fill half of the buffer at
    /// most, or stand alone in it.
    pub fn has_room(&self, rows: usize) -> bool {
        let waiting = self.lock().rows.droppable_len();
        let most = if waiting == 0 { self.capacity_rows } else { self.capacity_rows / 2 };
        waiting.saturating_add(rows) <= most
    }

    /// The receive clock is about to be set forward: that is no time in which nothing came.
    pub fn step(&self, by_ns: i64) {
        self.stepped_ns.fetch_add(by_ns, Ordering::SeqCst);
    }

    /// By how much the receive clock was set forward in all, in ns.
    pub fn stepped_ns(&self) -> i64 {
        self.stepped_ns.load(Ordering::SeqCst)
    }

    /// How many rows wait to be drained.
    pub fn len(&self) -> usize {
        self.lock().rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Wake whoever drains; from now on `drain` does not wait.
    pub fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    /// A panic while the lock was held leaves rows whole: every push is one `append`.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.dropped.is_none()
    }

    fn intern(&mut self, text: &str) -> Name {
        if let Some(name) = self.by_name.get(text) {
            return *name;
        }
        let name = Name(self.names.len() as u32);
        let text: Arc<str> = text.into();
        self.names.push(Arc::clone(&text));
        self.by_name.insert(text, name);
        name
    }

    fn drop_oldest_message(&mut self) {
        let rows = &mut self.rows;
        let oldest = [
            rows.quotes.front().map(Row::header),
            rows.trades.front().map(Row::header),
            rows.books.front().map(Row::header),
            rows.depths.front().map(Row::header),
            rows.stats.front().map(Row::header),
            rows.frames.front().map(Row::header),
        ];
        let Some(message) = oldest.into_iter().flatten().map(|header| header.message).min() else {
            return;
        };
        let dropped =
            self.dropped.get_or_insert(Dropped { count: 0, first_ord: u64::MAX, next_ord: 0 });
        let of_books = drop_message(&mut rows.books, message, dropped, |row| {
            let instrument = (row.header.venue, row.header.symbol);
            self.cut.insert(instrument);
            self.unclaimed_cuts.insert(instrument);
            row.rows()
        });
        rows.book_rows -= of_books;
        drop_message(&mut rows.quotes, message, dropped, |_| 1);
        drop_message(&mut rows.trades, message, dropped, |_| 1);
        drop_message(&mut rows.depths, message, dropped, |_| 1);
        drop_message(&mut rows.stats, message, dropped, |_| 1);
        drop_message(&mut rows.frames, message, dropped, |_| 1);
    }

    /// Flag the rows of a book that lacks some, up to the next whole one that readers take.
    fn mark_cut_books(&mut self) {
        if self.cut.is_empty() {
            return;
        }
        let cut = &mut self.cut;
        for BookMessage { header, .. } in &mut self.rows.books {
            let instrument = (header.venue, header.symbol);
            let is_skipped = header.flags & (row::DUPLICATE | row::MAYBE_BAD_BOOK) != 0;
            if header.flags & row::SNAPSHOT != 0 && !is_skipped {
                cut.remove(&instrument);
            } else if cut.contains(&instrument) {
                header.flags |= row::MAYBE_BAD_BOOK;
            }
        }
    }

    fn tell_dropped(&mut self) {
        let Some(dropped) = self.dropped.take() else { return };
        let venue = self.intern(SELF);
        let header = Header {
            ord: self.rows.next_ord,
            ts_recv: latest_recv(&self.rows),
            ts_event: None,
            ts_sent: None,
            venue,
            symbol: None,
            conn: 0,
            flags: 0,
            message: 0,
        };
        self.rows.next_ord += 1;
        self.rows.statuses.push_back(Status {
            header,
            scope: "feed",
            channel: None,
            state: "connected",
            kind: "overflow".into(),
            detail: Some("the buffer was full: the oldest messages were dropped".into()),
            expected: Some(dropped.first_ord),
            got: Some(dropped.next_ord),
            count: Some(dropped.count),
        });
    }
}

fn renumber<R: Row>(rows: &mut VecDeque<R>, base: u64) {
    for row in rows {
        row.header_mut().message += base;
    }
}

/// Drop the rows of a message; `count` tells how many each entry stands for. Returns their number.
fn drop_message<R: Row>(
    rows: &mut VecDeque<R>,
    message: u64,
    dropped: &mut Dropped,
    mut count: impl FnMut(&R) -> usize,
) -> usize {
    let mut all = 0;
    while let Some(row) = rows.front().filter(|row| row.header().message == message) {
        let (ord, rows_of_it) = (row.header().ord, count(row));
        dropped.count += rows_of_it as u64;
        dropped.first_ord = dropped.first_ord.min(ord);
        dropped.next_ord = dropped.next_ord.max(ord + rows_of_it as u64);
        all += rows_of_it;
        rows.pop_front();
    }
    all
}

fn latest_recv(rows: &Rows) -> i64 {
    let last = [
        rows.quotes.back().map(Row::header),
        rows.trades.back().map(Row::header),
        rows.books.back().map(Row::header),
        rows.statuses.back().map(Row::header),
        rows.clocks.back().map(Row::header),
        rows.stats.back().map(Row::header),
    ];
    last.into_iter().flatten().map(|header| header.ts_recv).max().unwrap_or(0)
}
