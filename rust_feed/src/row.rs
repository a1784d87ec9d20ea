//! The rows of the contract: one struct per kind, in the order of its columns.
//!
//! Times are ns since 1970. In memory a missing price or size is NaN; it becomes null in Arrow.

use std::collections::VecDeque;

use crate::book::BookSide;

pub const LAST: u32 = 128;
pub const SNAPSHOT: u32 = 32;
pub const BAD_TS_RECV: u32 = 8;
pub const MAYBE_BAD_BOOK: u32 = 4;
pub const GAP: u32 = 256;
pub const DUPLICATE: u32 = 512;
pub const LATE: u32 = 1024;
pub const BACKFILL: u32 = 2048;
pub const REST: u32 = 4096;
pub const SYNTHETIC: u32 = 8192;
pub const ROUNDED: u32 = 16384;
pub const INVALID: u32 = 32768;
pub const KEYFRAME: u32 = 65536;

/// An interned text: an index into the buffer's table of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Name(pub u32);

/// What every row carries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Header {
    /// Position in the recording's total order; the buffer sets it.
    pub ord: u64,
    pub ts_recv: i64,
    /// When the venue says it happened.
    pub ts_event: Option<i64>,
    /// When the venue says it published.
    pub ts_sent: Option<i64>,
    pub venue: Name,
    pub symbol: Option<Name>,
    pub conn: u32,
    pub flags: u32,
    /// Rows of one wire message share this number; the buffer drops whole messages by it.
    pub message: u64,
}

#[derive(Clone, Debug)]
pub struct Quote {
    pub header: Header,
    pub bid: f64,
    pub bid_size: f64,
    pub ask: f64,
    pub ask_size: f64,
    pub seq: Option<u64>,
    pub origin: Origin,
}

/// Where a quote comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The venue's own stream of quotes.
    Native,
    /// The best levels of a book kept here.
    Book,
    /// Asked for by REST.
    Rest,
    /// Worked out from something that is no quote, such as a pool's state.
    Synthetic,
}

impl Origin {
    pub const ALL: [Origin; 4] = [Origin::Native, Origin::Book, Origin::Rest, Origin::Synthetic];

    pub fn text(self) -> &'static str {
        match self {
            Origin::Native => "native",
            Origin::Book => "book",
            Origin::Rest => "rest",
            Origin::Synthetic => "synthetic",
        }
    }
}

/// The aggressor's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Buy,
    Sell,
}

impl Side {
    pub fn text(self) -> &'static str {
        match self {
            Side::Buy => "buy",
            Side::Sell => "sell",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TradeId {
    Number(u64),
    Text(Box<str>),
}

#[derive(Clone, Debug)]
pub struct Trade {
    pub header: Header,
    pub price: f64,
    pub size: f64,
    pub side: Option<Side>,
    pub trade_id: Option<TradeId>,
    pub seq: Option<u64>,
    pub conditions: Option<Box<[Box<str>]>>,
}

/// The book rows of one wire message: they share all but price, size, `ord` and flags.
#[derive(Clone, Debug)]
pub struct BookMessage {
    /// Of the first row; `flags` are those of all rows.
    pub header: Header,
    pub seq_first: Option<u64>,
    pub seq: Option<u64>,
    /// A snapshot's rows follow a row that clears the book.
    pub clears: bool,
    pub levels: Box<[BookLevel]>,
}

#[derive(Clone, Copy, Debug)]
pub struct BookLevel {
    pub side: BookSide,
    pub price: f64,
    /// The new total there; 0 removes.
    pub size: f64,
    /// Besides those of the message.
    pub flags: u32,
}

impl BookMessage {
    pub fn rows(&self) -> usize {
        self.levels.len() + usize::from(self.clears)
    }
}

/// The best levels of a book, the best first; NaN-free, of equal length per side.
#[derive(Clone, Debug)]
pub struct Depth {
    pub header: Header,
    pub bid_prices: Box<[f64]>,
    pub bid_sizes: Box<[f64]>,
    pub ask_prices: Box<[f64]>,
    pub ask_sizes: Box<[f64]>,
}

#[derive(Clone, Debug)]
pub struct InstrumentRow {
    pub header: Header,
    pub raw_symbol: Box<str>,
    pub base: Box<str>,
    pub quote_asset: Box<str>,
    pub tick_size: f64,
    pub lot_size: f64,
    pub price_precision: f64,
    pub size_precision: f64,
    pub seq_scope: &'static str,
    pub trading_status: Option<Box<str>>,
    pub source: Option<Box<str>>,
}

#[derive(Clone, Debug)]
pub struct Status {
    pub header: Header,
    pub scope: &'static str,
    pub channel: Option<Box<str>>,
    pub state: &'static str,
    pub kind: Box<str>,
    pub detail: Option<Box<str>>,
    pub expected: Option<u64>,
    pub got: Option<u64>,
    pub count: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Clock {
    pub header: Header,
    /// Wall clock minus monotonic clock, since the start.
    pub offset_ns: i64,
    pub buffered_rows: f64,
    pub recorder_lag_ms: f64,
}

#[derive(Clone, Debug)]
pub struct Stat {
    pub header: Header,
    pub channel: &'static str,
    pub rows: f64,
    pub bytes: f64,
    pub latency_p50_ms: f64,
    pub latency_p99_ms: f64,
    pub latency_max_ms: f64,
    pub age_ms: f64,
    pub gaps: f64,
    pub duplicates: f64,
    pub late: f64,
    pub book_health: Option<&'static str>,
}

#[derive(Clone, Debug)]
pub struct FrameRow {
    pub header: Header,
    pub raw: Box<str>,
}

/// A row of any kind, seen by its header.
pub trait Row {
    fn header(&self) -> &Header;
    fn header_mut(&mut self) -> &mut Header;
}

macro_rules! rows {
    ($($kind:ty),*) => {$(
        impl Row for $kind {
            fn header(&self) -> &Header {
                &self.header
            }
            fn header_mut(&mut self) -> &mut Header {
                &mut self.header
            }
        }
    )*};
}
rows!(Quote, Trade, BookMessage, Depth, InstrumentRow, Status, Clock, Stat, FrameRow);

/// Rows of all kinds, in `ord` order within each.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    pub quotes: VecDeque<Quote>,
    pub trades: VecDeque<Trade>,
    pub books: VecDeque<BookMessage>,
    pub depths: VecDeque<Depth>,
    /// How many rows `books` come to.
    pub book_rows: usize,
    pub instruments: VecDeque<InstrumentRow>,
    pub statuses: VecDeque<Status>,
    pub clocks: VecDeque<Clock>,
    pub stats: VecDeque<Stat>,
    pub frames: VecDeque<FrameRow>,
    /// The `ord` of the next row.
    pub next_ord: u64,
}

impl Rows {
    pub fn len(&self) -> usize {
        self.droppable_len() + self.instruments.len() + self.statuses.len() + self.clocks.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many rows there are of the kinds that a full buffer may drop.
    pub fn droppable_len(&self) -> usize {
        let timed = self.quotes.len() + self.trades.len() + self.depths.len() + self.stats.len();
        timed + self.book_rows + self.frames.len()
    }

    /// Move all of `other` behind the rows here, renumbering it to follow on.
    pub fn append(&mut self, other: &mut Rows) {
        let base = self.next_ord;
        self.next_ord += other.next_ord;
        other.next_ord = 0;
        move_rows(&mut self.quotes, &mut other.quotes, base);
        move_rows(&mut self.trades, &mut other.trades, base);
        move_rows(&mut self.books, &mut other.books, base);
        move_rows(&mut self.depths, &mut other.depths, base);
        self.book_rows += std::mem::take(&mut other.book_rows);
        move_rows(&mut self.instruments, &mut other.instruments, base);
        move_rows(&mut self.statuses, &mut other.statuses, base);
        move_rows(&mut self.clocks, &mut other.clocks, base);
        move_rows(&mut self.stats, &mut other.stats, base);
        move_rows(&mut self.frames, &mut other.frames, base);
    }

    /// Take the rows out, leaving none; numbering goes on.
    #[must_use]
    pub fn take(&mut self) -> Rows {
        let next_ord = self.next_ord;
        std::mem::replace(self, Rows { next_ord, ..Rows::default() })
    }
}

fn move_rows<R: Row>(to: &mut VecDeque<R>, from: &mut VecDeque<R>, base: u64) {
    for row in from.iter_mut() {
        row.header_mut().ord += base;
    }
    to.append(from);
}
