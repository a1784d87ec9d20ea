//! Kraken by REST, where the stream cannot be had. Errors come with HTTP 200, in `error`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{DecodeError, read};
use crate::book::{Level, Levels};
use crate::market::Market;
use crate::row::{Origin, REST, Side, TradeId};
use crate::scan::Fixed;
use crate::subscription::{Channel, Fetch};
use crate::tick::{BookTick, QuoteTick, TradeTick};
use crate::venue::{level, number, query};

const POLLED_LEVELS: usize = 100;
const POLLED_TRADES: usize = 1000;

pub(super) fn poll(wanted: &[(Channel, String)]) -> Vec<Fetch> {
    let path = |(channel, symbol): &(Channel, String)| match channel {
        Channel::Quote => format!("/0/public/Ticker?pair={symbol}"),
        Channel::Book => format!("/0/public/Depth?pair={symbol}&count={POLLED_LEVELS}"),
        _ => format!("/0/public/Trades?pair={symbol}&count={POLLED_TRADES}"),
    };
    wanted.iter().map(path).map(Fetch::get).collect()
}

/// Read an answer; the key within `result` is the venue's own name of the pair that was asked for.
pub(super) fn fetched(
    url: &str,
    body: &str,
    levels: &mut Levels,
    market: &mut Market,
) -> Result<(), DecodeError> {
    let answer: Answer = read(body)?;
    if let Some(error) = answer.error.first() {
        return Err(DecodeError::Refused((*error).into()));
    }
    let path = url.split('?').next().unwrap_or_default();
    let (Some(symbol), Some(result)) = (query(url, "pair"), answer.result) else {
        market.ignored_frames += 1;
        return Ok(());
    };
    let symbol = symbol.replace("%2F", "/");
    let pairs: BTreeMap<&str, &RawValue> = read(result.get())?;
    let Some((_, value)) = pairs.iter().find(|(key, _)| **key != "last") else {
        market.ignored_frames += 1;
        return Ok(());
    };
    match path.rsplit('/').next() {
        Some("Ticker") => quote(&symbol, &read(value.get())?, market),
        Some("Depth") => book(&symbol, &read(value.get())?, levels, market),
        Some("Trades") => {
            let trades: Vec<WireTrade> = read(value.get())?;
            trades.iter().try_for_each(|wire| trade(&symbol, wire, market))
        }
        _ => {
            market.ignored_frames += 1;
            Ok(())
        }
    }
}

fn quote(symbol: &str, wire: &WireTicker, market: &mut Market) -> Result<(), DecodeError> {
    let mut flags = REST;
    let tick = QuoteTick {
        bid: number("b", wire.b[0], &mut flags)?,
        bid_size: number("b", wire.b[2], &mut flags)?,
        ask: number("a", wire.a[0], &mut flags)?,
        ask_size: number("a", wire.a[2], &mut flags)?,
        origin: Origin::Rest,
        ..QuoteTick::default()
    };
    market.quote(symbol, QuoteTick { flags, ..tick });
    Ok(())
}

fn book(
    symbol: &str,
    wire: &WireDepth,
    levels: &mut Levels,
    market: &mut Market,
) -> Result<(), DecodeError> {
    let read = |side: &[WireLevel]| -> Result<Vec<Level>, DecodeError> {
        side.iter().map(|WireLevel(price, size, _)| level(price, size)).collect()
    };
    *levels = Levels { bids: read(&wire.bids)?, asks: read(&wire.asks)? };
    let tick = BookTick {
        snapshot: true,
        depth: Some(levels.bids.len().max(levels.asks.len())),
        flags: REST,
        ..BookTick::default()
    };
    market.book(symbol, tick, levels);
    Ok(())
}

fn trade(symbol: &str, wire: &WireTrade, market: &mut Market) -> Result<(), DecodeError> {
    let WireTrade(price, size, seconds, taker, _, _, id) = wire;
    let mut flags = 0;
    let seconds = seconds.get();
    let ts_event = Fixed::parse(seconds).ok_or_else(|| DecodeError::Time {
        field: "time",
        found: seconds.chars().take(40).collect(),
    })?;
    let tick = TradeTick {
        channel: Channel::Trade,
        ts_event: i64::try_from(ts_event.digits(Some(9))).ok(),
        ts_sent: None,
        price: number("price", price, &mut flags)?,
        size: number("volume", size, &mut flags)?,
        side: match *taker {
            "b" => Some(Side::Buy),
            "s" => Some(Side::Sell),
            _ => None,
        },
        trade_id: Some(TradeId::Number(*id)),
        seq: Some(*id),
        conditions: None,
        flags,
    };
    market.polled_trade(symbol, tick);
    Ok(())
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    error: Vec<&'a str>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
}

/// Price, whole-lot volume, lot volume.
#[derive(Deserialize)]
struct WireTicker<'a> {
    #[serde(borrow)]
    a: [&'a str; 3],
    #[serde(borrow)]
    b: [&'a str; 3],
}

#[derive(Deserialize)]
struct WireDepth<'a> {
    #[serde(borrow)]
    bids: Vec<WireLevel<'a>>,
    #[serde(borrow)]
    asks: Vec<WireLevel<'a>>,
}

#[derive(Deserialize)]
struct WireLevel<'a>(&'a str, &'a str, serde::de::IgnoredAny);

/// Price, volume, seconds since 1970, b or s, market or limit, miscellaneous, id.
#[derive(Deserialize)]
struct WireTrade<'a>(
    &'a str,
    &'a str,
    #[serde(borrow)] &'a RawValue,
    &'a str,
    serde::de::IgnoredAny,
    serde::de::IgnoredAny,
    u64,
);
