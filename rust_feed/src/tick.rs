//! What a dialect reads out of frames, before it becomes rows.

use crate::row::{Side, TradeId};
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
}

impl Instrument {
    pub fn canonical(&self) -> String {
        format!("{}-{}", self.base, self.quote_asset)
    }
}

/// A best bid and offer as a dialect read it.
#[derive(Clone, Copy, Debug)]
pub struct QuoteTick {
    pub ts_event: Option<i64>,
    pub ts_sent: Option<i64>,
    pub bid: f64,
    pub bid_size: f64,
    pub ask: f64,
    pub ask_size: f64,
    pub seq: Option<u64>,
    pub flags: u32,
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
