//! Coinbase's messages as JSON, borrowed from the frame.

use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
pub(super) struct Head<'a> {
    pub(super) channel: Option<&'a str>,
    #[serde(rename = "type")]
    pub(super) kind: Option<&'a str>,
    pub(super) message: Option<String>,
    pub(super) timestamp: Option<&'a str>,
    pub(super) sequence_num: Option<u64>,
    #[serde(borrow)]
    pub(super) events: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct TickerEvent<'a> {
    #[serde(rename = "type")]
    pub(super) kind: Option<&'a str>,
    #[serde(borrow)]
    pub(super) tickers: Vec<WireTicker<'a>>,
}

#[derive(Deserialize)]
pub(super) struct WireTicker<'a> {
    pub(super) product_id: &'a str,
    pub(super) best_bid: Option<&'a str>,
    pub(super) best_bid_quantity: Option<&'a str>,
    pub(super) best_ask: Option<&'a str>,
    pub(super) best_ask_quantity: Option<&'a str>,
}

#[derive(Deserialize)]
pub(super) struct TradeEvent<'a> {
    #[serde(rename = "type")]
    pub(super) kind: Option<&'a str>,
    #[serde(borrow)]
    pub(super) trades: Vec<WireTrade<'a>>,
}

#[derive(Deserialize)]
pub(super) struct WireTrade<'a> {
    pub(super) trade_id: &'a str,
    pub(super) product_id: &'a str,
    pub(super) price: &'a str,
    pub(super) size: &'a str,
    pub(super) side: &'a str,
    pub(super) time: Option<&'a str>,
}

#[derive(Deserialize)]
pub(super) struct BookEvent<'a> {
    #[serde(rename = "type")]
    pub(super) kind: Option<&'a str>,
    pub(super) product_id: &'a str,
    #[serde(borrow)]
    pub(super) updates: Vec<WireLevel<'a>>,
}

#[derive(Deserialize)]
pub(super) struct WireLevel<'a> {
    pub(super) side: &'a str,
    pub(super) price_level: &'a str,
    pub(super) new_quantity: &'a str,
}

/// The last trades, as REST gives them.
#[derive(Deserialize)]
pub(super) struct Trades<'a> {
    #[serde(borrow)]
    pub(super) trades: Vec<WireTrade<'a>>,
}

#[derive(Deserialize)]
pub(super) struct SubscriptionEvent {
    pub(super) subscriptions: WireSubscriptions,
}

#[derive(Deserialize)]
pub(super) struct WireSubscriptions {
    pub(super) ticker: Option<Vec<String>>,
    pub(super) market_trades: Option<Vec<String>>,
    pub(super) level2: Option<Vec<String>>,
}

#[derive(Deserialize)]
pub(super) struct Products {
    pub(super) products: Vec<WireProduct>,
}

#[derive(Deserialize)]
pub(super) struct WireProduct {
    pub(super) product_id: String,
    pub(super) price_increment: Option<String>,
    pub(super) quote_increment: Option<String>,
    pub(super) base_increment: Option<String>,
    pub(super) status: Option<String>,
    /// A product in USDC is answered under the name of the one in USD.
    pub(super) alias: Option<String>,
}
