//! Kraken's messages as JSON, borrowed from the frame.

use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
pub(super) struct Head<'a> {
    pub(super) channel: Option<&'a str>,
    #[serde(rename = "type")]
    pub(super) kind: Option<&'a str>,
    #[serde(borrow)]
    pub(super) data: Option<&'a RawValue>,
    pub(super) method: Option<&'a str>,
    pub(super) success: Option<bool>,
    pub(super) error: Option<String>,
    pub(super) symbol: Option<&'a str>,
    pub(super) req_id: Option<u64>,
    pub(super) result: Option<WireResult<'a>>,
}

#[derive(Deserialize)]
pub(super) struct WireResult<'a> {
    pub(super) channel: Option<&'a str>,
    pub(super) symbol: Option<&'a str>,
    pub(super) depth: Option<usize>,
}

#[derive(Deserialize)]
pub(super) struct SentRequest<'a> {
    #[serde(borrow)]
    pub(super) params: Option<SentParams<'a>>,
}

#[derive(Deserialize)]
pub(super) struct SentParams<'a> {
    pub(super) channel: &'a str,
    #[serde(borrow, default)]
    pub(super) symbol: Vec<&'a str>,
    pub(super) depth: Option<usize>,
}

#[derive(Deserialize)]
pub(super) struct WireBook<'a> {
    pub(super) symbol: &'a str,
    #[serde(borrow)]
    pub(super) bids: Vec<WireLevel<'a>>,
    #[serde(borrow)]
    pub(super) asks: Vec<WireLevel<'a>>,
    pub(super) checksum: u32,
    pub(super) timestamp: Option<&'a str>,
}

#[derive(Deserialize)]
pub(super) struct WireLevel<'a> {
    #[serde(borrow)]
    pub(super) price: &'a RawValue,
    #[serde(borrow)]
    pub(super) qty: &'a RawValue,
}

#[derive(Deserialize)]
pub(super) struct WireTicker<'a> {
    pub(super) symbol: &'a str,
    #[serde(borrow)]
    pub(super) bid: &'a RawValue,
    #[serde(borrow)]
    pub(super) bid_qty: &'a RawValue,
    #[serde(borrow)]
    pub(super) ask: &'a RawValue,
    #[serde(borrow)]
    pub(super) ask_qty: &'a RawValue,
    pub(super) timestamp: Option<&'a str>,
}

#[derive(Deserialize)]
pub(super) struct WireTrade<'a> {
    pub(super) symbol: &'a str,
    pub(super) side: &'a str,
    #[serde(borrow)]
    pub(super) price: &'a RawValue,
    #[serde(borrow)]
    pub(super) qty: &'a RawValue,
    pub(super) trade_id: u64,
    pub(super) timestamp: Option<&'a str>,
}

#[derive(Deserialize)]
pub(super) struct WireInstruments<'a> {
    #[serde(borrow)]
    pub(super) pairs: Vec<WirePair<'a>>,
}

#[derive(Deserialize)]
pub(super) struct WirePair<'a> {
    pub(super) symbol: &'a str,
    pub(super) base: &'a str,
    pub(super) quote: &'a str,
    pub(super) status: &'a str,
    pub(super) price_precision: f64,
    pub(super) qty_precision: f64,
    #[serde(borrow)]
    pub(super) price_increment: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) qty_increment: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct WireStatus<'a> {
    pub(super) system: &'a str,
}
