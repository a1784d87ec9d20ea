//! What a dialect reads out of frames, before it becomes rows.

use crate::row::{Origin, Side, TradeId};
use crate::subscription::Channel;

/// An entry of a venue's instrument list; NaN where the list does not say.
#[derive(Clone, Debug, PartialEq)]
pub struct Instrument {
    pub raw_symbol: String,
    pub base: String,
    pub quote_asset: String,
    pub tick_size: f64,
    pub lot_size: f64,
    pub price_precision: f64,
    pub size_precision: f64,
    pub trading_status: Option<String>,
    /// Where it is traded: a pool's address, the venue behind a feed.
    pub source: Option<String>,
    /// Tells it apart from other markets of its pair, behind an `@`.
    pub suffix: Option<String>,
    /// The raw symbol under which the venue answers for it, if it is not its own.
    pub alias: Option<String>,
}

impl Default for Instrument {
    fn default() -> Self {
        Instrument {
            raw_symbol: String::new(),
            base: String::new(),
            quote_asset: String::new(),
            tick_size: f64::NAN,
            lot_size: f64::NAN,
            price_precision: f64::NAN,
            size_precision: f64::NAN,
            trading_status: None,
            source: None,
            suffix: None,
            alias: None,
        }
    }
}

impl Instrument {
    pub fn canonical(&self) -> String {
        let pair = format!("{}-{}", self.base, self.quote_asset);
        match &self.suffix {
            Some(suffix) => format!("{pair}@{suffix}"),
            None => pair,
        }
    }
}

/// A best bid and offer as a dialect read it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuoteTick {
    pub ts_event: Option<i64>,
    pub ts_sent: Option<i64>,
    pub bid: f64,
    pub bid_size: f64,
    pub ask: f64,
    pub ask_size: f64,
    pub seq: Option<u64>,
    pub origin: Origin,
    pub flags: u32,
}

impl Default for QuoteTick {
    fn default() -> Self {
        let (bid, bid_size, ask, ask_size) = (f64::NAN, f64::NAN, f64::NAN, f64::NAN);
        let (ts_event, ts_sent, seq, origin, flags) = (None, None, None, Origin::Native, 0);
        QuoteTick { ts_event, ts_sent, bid, bid_size, ask, ask_size, seq, origin, flags }
    }
}

#[derive(Clone, Debug)]
pub struct TradeTick {
    pub channel: Channel,
    pub ts_event: Option<i64>,
    pub ts_sent: Option<i64>,
    pub price: f64,
    pub size: f64,
    pub side: Option<Side>,
    pub trade_id: Option<TradeId>,
    pub seq: Option<u64>,
    pub conditions: Option<Box<[Box<str>]>>,
    pub flags: u32,
}

/// What a message of book levels says besides its levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BookTick {
    /// The levels are the whole book, not changes of it.
    pub snapshot: bool,
    pub ts_event: Option<i64>,
    pub ts_sent: Option<i64>,
    pub seq_first: Option<u64>,
    pub seq: Option<u64>,
    pub checksum: Option<u32>,
    /// The checksum is over the digits as they were written, whatever the instrument's precisions.
    pub as_written: bool,
    /// Levels per side beyond which the venue forgets without a word.
    pub depth: Option<usize>,
    pub flags: u32,
}

/// What a venue said of a subscription, or of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The request with this id was accepted or refused.
    Answer { id: u64, refused: Option<String> },
    /// This channel of this raw symbol was accepted or refused; no channel stands for all.
    Channel { channel: Option<Channel>, raw_symbol: String, refused: Option<String> },
    /// The venue reported an error that names no subscription.
    Error(String),
    /// The venue announced its own condition.
    System(String),
}
