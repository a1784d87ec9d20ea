//! Coinbase Exchange by REST, where the stream cannot be had. Trades name the maker's side.

use serde::Deserialize;

use super::wire::{WireLevel, WireMatch};
use super::{DecodeError, read, trade_tick};
use crate::book::{Level, Levels};
use crate::fill::Missing;
use crate::market::Market;
use crate::row::REST;
use crate::subscription::{Channel, Fetch};
use crate::tick::{BookTick, QuoteTick};
use crate::venue::{coinbase, level, query, time};

const POLLED_TRADES: usize = 1000;

pub(super) fn poll(wanted: &[(Channel, String)]) -> Vec<Fetch> {
    let path = |(channel, product): &(Channel, String)| match channel {
        Channel::Quote => format!("/products/{product}/book?level=1"),
        Channel::Book => format!("/products/{product}/book?level=2"),
        _ => format!("/products/{product}/trades?limit={POLLED_TRADES}"),
    };
    wanted.iter().map(path).map(Fetch::get).collect()
}

/// Ask for the trades before the one behind the gap: `after` means older, as pages go.
pub(super) fn fill(missing: &Missing) -> Fetch {
    let (product, after) = (&missing.fill.raw_symbol, missing.last + 1);
    let count = missing.span().min(POLLED_TRADES as u64);
    Fetch::get(format!("/products/{product}/trades?after={after}&limit={count}"))
}

/// Read a book; one of level 1, which is the default, was asked for as a quote.
pub(super) fn book(
    product: &str,
    url: &str,
    body: &str,
    levels: &mut Levels,
    market: &mut Market,
) -> Result<(), DecodeError> {
    let wire: WireBook = read(body)?;
    let read = |side: &[WireLevel]| -> Result<Vec<Level>, DecodeError> {
        side.iter().map(|wire| level(wire.price, wire.size)).collect()
    };
    *levels = Levels { bids: read(&wire.bids)?, asks: read(&wire.asks)? };
    let (ts_event, seq) = (time("time", wire.time)?, wire.sequence);
    if matches!(query(url, "level"), None | Some("1")) {
        let quote = coinbase::rest::top(levels);
        market.quote(product, QuoteTick { ts_event, seq, ..quote });
    } else {
        let tick = BookTick { snapshot: true, ts_event, seq, flags: REST, ..BookTick::default() };
        market.book(product, tick, levels);
    }
    Ok(())
}

/// Read the last trades, the newest first, and write them in the order in which they happened.
pub(super) fn trades(product: &str, body: &str, market: &mut Market) -> Result<(), DecodeError> {
    let trades: Vec<WireMatch> = read(body)?;
    trades.iter().rev().try_for_each(|wire| {
        market.polled_trade(product, trade_tick(wire, 0)?);
        Ok(())
    })
}

#[derive(Deserialize)]
struct WireBook<'a> {
    #[serde(borrow)]
    bids: Vec<WireLevel<'a>>,
    #[serde(borrow)]
    asks: Vec<WireLevel<'a>>,
    sequence: Option<u64>,
    time: Option<&'a str>,
}
