//! Coinbase Advanced Trade by REST, where the stream cannot be had. Trades name the maker's side.

use serde::Deserialize;

use super::wire::Trades;
use super::{DecodeError, push_trade, read};
use crate::book::{Level, Levels};
use crate::fill::Missing;
use crate::market::Market;
use crate::row::{Origin, REST};
use crate::subscription::{Channel, Fetch};
use crate::tick::{BookTick, QuoteTick};
use crate::venue::{level, query, time};

const POLLED_LEVELS: usize = 100;
const POLLED_TRADES: usize = 100;
const SECOND_NS: i64 = 1_000_000_000;

pub(super) fn poll(wanted: &[(Channel, String)]) -> Vec<Fetch> {
    let base = "/api/v3/brokerage/market";
    let path = |(channel, symbol): &(Channel, String)| match channel {
        Channel::Quote => format!("{base}/product_book?product_id={symbol}&limit=1"),
        Channel::Book => format!("{base}/product_book?product_id={symbol}&limit={POLLED_LEVELS}"),
        _ => format!("{base}/products/{symbol}/ticker?limit={POLLED_TRADES}"),
    };
    wanted.iter().map(path).map(Fetch::get).collect()
}

/// Ask for the trades of the seconds around the gap: the last of them come, the newest first.
pub(super) fn fill(missing: &Missing) -> Fetch {
    let symbol = &missing.fill.raw_symbol;
    let start = missing.after_ns.map(|ns| format!("&start={}", ns / SECOND_NS));
    let end = missing.before_ns.map(|ns| format!("&end={}", ns / SECOND_NS + 1));
    let window = [start, end].map(Option::unwrap_or_default).concat();
    let base = "/api/v3/brokerage/market";
    Fetch::get(format!("{base}/products/{symbol}/ticker?limit={POLLED_TRADES}{window}"))
}

/// Read a book; one of a single level was asked for as a quote.
pub(super) fn book(
    url: &str,
    body: &str,
    levels: &mut Levels,
    market: &mut Market,
) -> Result<(), DecodeError> {
    let WireBook { pricebook } = read(body)?;
    let read = |side: &[WireLevel]| -> Result<Vec<Level>, DecodeError> {
        side.iter().map(|wire| level(wire.price, wire.size)).collect()
    };
    *levels = Levels { bids: read(&pricebook.bids)?, asks: read(&pricebook.asks)? };
    let ts_event = time("time", pricebook.time)?;
    if query(url, "limit") == Some("1") {
        market.quote(pricebook.product_id, QuoteTick { ts_event, ..top(levels) });
    } else {
        let tick = BookTick { snapshot: true, ts_event, flags: REST, ..BookTick::default() };
        market.book(pricebook.product_id, tick, levels);
    }
    Ok(())
}

/// The first levels of a polled book, which are its best, as a quote.
pub(in crate::venue) fn top(levels: &Levels) -> QuoteTick {
    let (bid, ask) = (levels.bids.first(), levels.asks.first());
    let value = |level: Option<&Level>, number: fn(&Level) -> f64| level.map_or(f64::NAN, number);
    QuoteTick {
        bid: value(bid, |level| level.price.value()),
        bid_size: value(bid, |level| level.size.value()),
        ask: value(ask, |level| level.price.value()),
        ask_size: value(ask, |level| level.size.value()),
        origin: Origin::Rest,
        flags: REST,
        ..QuoteTick::default()
    }
}

/// Read the last trades, the newest first, and write them in the order in which they happened.
pub(super) fn trades(body: &str, market: &mut Market) -> Result<(), DecodeError> {
    let last: Trades = read(body)?;
    last.trades.iter().rev().try_for_each(|wire| push_trade(wire, None, None, 0, true, market))
}

#[derive(Deserialize)]
struct WireBook<'a> {
    #[serde(borrow)]
    pricebook: PriceBook<'a>,
}

#[derive(Deserialize)]
struct PriceBook<'a> {
    product_id: &'a str,
    #[serde(borrow)]
    bids: Vec<WireLevel<'a>>,
    #[serde(borrow)]
    asks: Vec<WireLevel<'a>>,
    time: Option<&'a str>,
}

#[derive(Deserialize)]
struct WireLevel<'a> {
    price: &'a str,
    size: &'a str,
}
