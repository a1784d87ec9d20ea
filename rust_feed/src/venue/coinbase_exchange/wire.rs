//! Coinbase Exchange's messages as JSON, borrowed from the frame.

use serde::Deserialize;
use serde::de::IgnoredAny;

#[derive(Deserialize)]
pub(super) struct Head<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'a str,
}

#[derive(Deserialize)]
pub(super) struct WireTicker<'a> {
    pub(super) product_id: &'a str,
    pub(super) sequence: Option<u64>,
    pub(super) time: Option<&'a str>,
    pub(super) best_bid: Option<&'a str>,
    pub(super) best_bid_size: Option<&'a str>,
    pub(super) best_ask: Option<&'a str>,
    pub(super) best_ask_size: Option<&'a str>,
}

/// A match of the stream, or a trade by REST, which knows neither product nor sequence.
#[derive(Deserialize)]
pub(super) struct WireMatch<'a> {
    #[serde(default)]
    pub(super) product_id: &'a str,
    pub(super) sequence: Option<u64>,
    pub(super) trade_id: u64,
    pub(super) price: &'a str,
    pub(super) size: &'a str,
    pub(super) side: &'a str,
    pub(super) time: Option<&'a str>,
}

#[derive(Deserialize)]
pub(super) struct WireSnapshot<'a> {
    pub(super) product_id: &'a str,
    #[serde(borrow)]
    pub(super) bids: Vec<WireLevel<'a>>,
    #[serde(borrow)]
    pub(super) asks: Vec<WireLevel<'a>>,
}

/// A level; by REST its number of orders stands third.
#[derive(Deserialize)]
#[serde(from = "WireLevelItems")]
pub(super) struct WireLevel<'a> {
    pub(super) price: &'a str,
    pub(super) size: &'a str,
}

#[derive(Deserialize)]
struct WireLevelItems<'a>(&'a str, &'a str, #[serde(default)] IgnoredAny);

impl<'a> From<WireLevelItems<'a>> for WireLevel<'a> {
    fn from(WireLevelItems(price, size, _): WireLevelItems<'a>) -> Self {
        WireLevel { price, size }
    }
}

#[derive(Deserialize)]
pub(super) struct WireUpdate<'a> {
    pub(super) product_id: &'a str,
    pub(super) time: Option<&'a str>,
    /// Side, price, new size.
    #[serde(borrow)]
    pub(super) changes: Vec<(&'a str, &'a str, &'a str)>,
}

#[derive(Deserialize)]
pub(super) struct WireHeartbeat<'a> {
    pub(super) product_id: &'a str,
    pub(super) last_trade_id: u64,
}

#[derive(Deserialize)]
pub(super) struct WireSubscriptions {
    pub(super) channels: Vec<WireSubscribed>,
}

#[derive(Deserialize)]
pub(super) struct WireSubscribed {
    pub(super) name: String,
    #[serde(default)]
    pub(super) product_ids: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct WireError {
    pub(super) message: Option<String>,
    pub(super) reason: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct WireProduct {
    pub(super) id: String,
    pub(super) base_currency: String,
    pub(super) quote_currency: String,
    pub(super) quote_increment: Option<String>,
    pub(super) base_increment: Option<String>,
    pub(super) status: Option<String>,
}
