//! What books come to as rows: `book` rows of each message, quotes, `depth` rows, keyframes.

use super::Market;
use crate::book::{BookSide, Level, Levels, Side};
use crate::quality::Verdict;
use crate::row::{self, BookLevel, BookMessage, Depth, Origin};
use crate::subscription::Channel;
use crate::tick::{BookTick, QuoteTick};

/// Levels per side of a `depth` row.
const DEPTH_LEVELS: usize = 20;
/// At most one `depth` row per instrument in this time.
const DEPTH_EVERY_NS: i64 = 100_000_000;
/// A book is written whole when its rows since the last time exceed so many times its levels.
const KEYFRAME_RATIO: usize = 10;

impl Market {
    /// Have every good book written whole, so that it is right from here on.
    pub fn write_keyframes(&mut self) {
        (0..self.followed.len()).for_each(|at| self.want_keyframe(at));
        self.write_due_keyframes();
    }

    /// Write the books that are due to be whole, as far as the buffer has room for them, among them
    /// those of which it dropped rows.
    ///
    /// A book that found no room waits for the next call: written all the same it would push out
    /// other rows, and with them be due again.
    pub fn write_due_keyframes(&mut self) {
        let overflows = self.buffer.overflows();
        if std::mem::replace(&mut self.overflows, overflows) != overflows {
            for at in 0..self.followed.len() {
                if self.buffer.take_cut(self.venue, self.followed[at].symbol) {
                    self.want_keyframe(at);
                }
            }
        }
        if !std::mem::take(&mut self.keyframes_due) {
            return;
        }
        for at in 0..self.followed.len() {
            let kept = self.kept(at);
            if !kept.keyframe_due || !kept.health.stands() {
                continue;
            }
            let rows = kept.book.len() + self.rows.droppable_len();
            // A file is read as fast as its rows are taken.
            if !self.live || self.buffer.has_room(rows) {
                self.write_keyframe(at);
            } else {
                self.keyframes_due = true;
            }
        }
    }

    fn want_keyframe(&mut self, at: usize) {
        self.kept(at).keyframe_due = true;
        self.keyframes_due = true;
    }

    /// Write the `depth` rows that were withheld and are due by `now_ns`.
    pub fn write_withheld_depths(&mut self, now_ns: i64) {
        self.depth_due_ns = i64::MAX;
        for at in 0..self.followed.len() {
            let kept = self.kept(at);
            if kept.depth_withheld {
                let due_ns = kept.depth_written_ns + DEPTH_EVERY_NS;
                if due_ns <= now_ns {
                    self.write_depth(at);
                } else {
                    self.depth_due_ns = self.depth_due_ns.min(due_ns);
                }
            }
        }
    }

    /// Show what a message did to a good book: its quote, its depth, and now and then all of it.
    pub(super) fn show(&mut self, at: usize, tick: &BookTick, rank: usize) {
        if !self.kept(at).health.stands() {
            return;
        }
        if self.followed[at].book_quotes {
            self.quote_top(at, tick);
        }
        if rank < DEPTH_LEVELS {
            let now_ns = self.now_ns;
            let kept = self.kept(at);
            let due_ns = kept.depth_written_ns + DEPTH_EVERY_NS;
            if due_ns <= now_ns {
                self.write_depth(at);
            } else {
                kept.depth_withheld = true;
                self.depth_due_ns = self.depth_due_ns.min(due_ns);
            }
        }
        let kept = self.kept(at);
        if kept.rows_since_whole > KEYFRAME_RATIO * kept.book.len() {
            // Counted anew, so that a buffer without room is not asked at every message.
            kept.rows_since_whole = 0;
            self.want_keyframe(at);
            self.write_due_keyframes();
        }
    }

    fn quote_top(&mut self, at: usize, tick: &BookTick) {
        let kept = self.kept(at);
        let top = [kept.book.bids.best().copied(), kept.book.asks.best().copied()];
        let stands = self.followed[at].quoted[Origin::Book as usize];
        if stands && self.kept(at).top == top {
            return;
        }
        self.kept(at).top = top;
        let value = |level: Option<Level>, number: fn(&Level) -> f64| {
            level.as_ref().map_or(f64::NAN, number)
        };
        let quote = QuoteTick {
            ts_event: tick.ts_event,
            ts_sent: tick.ts_sent,
            bid: value(top[0], |level| level.price.value()),
            bid_size: value(top[0], |level| level.size.value()),
            ask: value(top[1], |level| level.price.value()),
            ask_size: value(top[1], |level| level.size.value()),
            seq: tick.seq,
            origin: Origin::Book,
            flags: tick.flags & (row::REST | row::SYNTHETIC)
                | if tick.snapshot { row::SNAPSHOT } else { 0 },
        };
        self.push_quote(at, quote, Verdict::Good);
    }

    fn write_depth(&mut self, at: usize) {
        let header = self.header(Some(at), None, None, 0);
        let kept = self.kept(at);
        kept.depth_withheld = false;
        kept.depth_written_ns = header.ts_recv;
        let best = |side: &Side, number: fn(&Level) -> f64| {
            side.iter().take(DEPTH_LEVELS).map(number).collect()
        };
        let (bids, asks) = (&kept.book.bids, &kept.book.asks);
        let depth = Depth {
            header,
            bid_prices: best(bids, |level| level.price.value()),
            bid_sizes: best(bids, |level| level.size.value()),
            ask_prices: best(asks, |level| level.price.value()),
            ask_sizes: best(asks, |level| level.size.value()),
        };
        self.rows.depths.push_back(depth);
    }

    fn write_keyframe(&mut self, at: usize) {
        let kept = self.kept(at);
        kept.rows_since_whole = 0;
        kept.keyframe_due = false;
        let tick = BookTick { snapshot: true, seq: kept.seq, ..BookTick::default() };
        let levels = Levels {
            bids: kept.book.bids.iter().copied().collect(),
            asks: kept.book.asks.iter().copied().collect(),
        };
        self.message += 1;
        self.push_book_rows(at, tick, &levels, &Levels::default(), row::KEYFRAME);
    }

    /// Write a message's rows and count them; `out` is what a depth limit pushed out.
    pub(super) fn push_book(
        &mut self,
        at: usize,
        tick: BookTick,
        levels: &Levels,
        out: &Levels,
        flags: u32,
        verdict: Verdict,
    ) {
        let flags = tick.flags | flags | self.take_gap_ahead();
        let rows = levels.len() + out.len();
        self.kept(at).rows_since_whole += rows;
        if let Some(header) = self.push_book_rows(at, tick, levels, out, flags) {
            self.meter(at, Channel::Book, &header, verdict, rows);
        }
    }

    fn push_book_rows(
        &mut self,
        at: usize,
        tick: BookTick,
        levels: &Levels,
        out: &Levels,
        flags: u32,
    ) -> Option<row::Header> {
        if !tick.snapshot && levels.is_empty() && out.is_empty() {
            return None;
        }
        let mut rows = Vec::with_capacity(levels.len() + out.len());
        rows.extend(levels.bids.iter().map(|level| wire_row(BookSide::Bid, level)));
        rows.extend(levels.asks.iter().map(|level| wire_row(BookSide::Ask, level)));
        rows.extend(out.bids.iter().map(|level| pushed_out(BookSide::Bid, level)));
        rows.extend(out.asks.iter().map(|level| pushed_out(BookSide::Ask, level)));
        let flags = flags | if tick.snapshot { row::SNAPSHOT } else { 0 };
        let header = self.header(Some(at), tick.ts_event, tick.ts_sent, flags);
        let message = BookMessage {
            header,
            seq_first: tick.seq_first,
            seq: tick.seq,
            clears: tick.snapshot,
            levels: rows.into(),
        };
        self.rows.next_ord += message.rows() as u64 - 1;
        self.rows.book_rows += message.rows();
        self.rows.books.push_back(message);
        Some(header)
    }
}

fn wire_row(side: BookSide, level: &Level) -> BookLevel {
    let rounded = level.price.is_rounded() || level.size.is_rounded();
    let flags = if rounded { row::ROUNDED } else { 0 };
    BookLevel { side, price: level.price.value(), size: level.size.value(), flags }
}

fn pushed_out(side: BookSide, level: &Level) -> BookLevel {
    BookLevel { side, price: level.price.value(), size: 0.0, flags: row::SYNTHETIC }
}
