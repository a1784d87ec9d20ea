//! Kraken by REST, where the stream cannot be had. Errors come with HTTP 200, in `error`.

use std::collections::BTreeMap;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{DecodeError, read};
use crate::book::{Level, Levels};
use crate::fill::Missing;
use crate::fixed::Fixed;
use crate::market::Market;
use crate::row::{Origin, REST, Side, TradeId};
use crate::subscription::{Channel, Fetch};
use crate::tick::{BookTick, Instrument, QuoteTick, TradeTick};
use crate::venue::{asset, level, number, query, split_at, tick_of};

const POLLED_LEVELS: usize = 100;
const POLLED_TRADES: usize = 1000;
/// The stream tells times in µs, REST and its cursor in ns.
const STREAM_NS: i64 = 1000;

pub(in crate::venue) fn poll(wanted: &[(Channel, String)]) -> Vec<Fetch> {
    let path = |(channel, symbol): &(Channel, String)| match channel {
        Channel::Quote => format!("/0/public/Ticker?pair={symbol}"),
        Channel::Book => format!("/0/public/Depth?pair={symbol}&count={POLLED_LEVELS}"),
        _ => format!("/0/public/Trades?pair={symbol}&count={POLLED_TRADES}"),
    };
    wanted.iter().map(path).map(Fetch::get).collect()
}

/// Ask for the trades from the last one before the gap on: they come in the order they happened.
pub(super) fn fill(missing: &Missing) -> Fetch {
    let symbol = &missing.fill.raw_symbol;
    let since = match missing.after_ns {
        Some(ns) => format!("&since={}", ns - STREAM_NS),
        None => String::new(),
    };
    Fetch::get(format!("/0/public/Trades?pair={symbol}{since}&count={POLLED_TRADES}"))
}

/// Take the result out of an answer's envelope.
pub(in crate::venue) fn result<'a, T: Deserialize<'a>>(
    body: &'a str,
) -> Result<Option<T>, DecodeError> {
    let answer: Answer = read(body)?;
    match (answer.error.first(), answer.result) {
        (Some(error), _) => Err(DecodeError::Refused((*error).into())),
        (None, Some(result)) => read(result.get()).map(Some),
        (None, None) => Ok(None),
    }
}

/// Read an answer; a sole key within `result` is the venue's own name of the pair asked for.
///
/// `streamed` tells what a stream calls a pair that the list calls by its name on v1's stream.
pub(in crate::venue) fn fetched(
    url: &str,
    body: &str,
    streamed: fn(&str) -> Option<String>,
    levels: &mut Levels,
    market: &mut Market,
) -> Result<(), DecodeError> {
    if url.split('?').next().is_some_and(|path| path.ends_with("/AssetPairs")) {
        let listed = result::<BTreeMap<String, WirePair>>(body)?.unwrap_or_default();
        market.learn(listed.into_values().filter_map(|wire| instrument(wire, streamed)).collect());
        return Ok(());
    }
    let pairs = result::<Pairs>(body)?.map_or_else(Vec::new, |Pairs(pairs)| pairs);
    let asked = query(url, "pair").map(|pair| pair.replace("%2F", "/"));
    let path = url.split('?').next().unwrap_or_default();
    match (path.rsplit('/').next(), asked, &pairs[..]) {
        (Some("Ticker"), Some(symbol), [(_, value)]) => quote(&symbol, value, market),
        (Some("Ticker"), _, _) => pairs.iter().try_for_each(|(key, value)| {
            let symbol = spelled(key, market);
            quote(&symbol, value, market)
        }),
        (Some("Depth"), Some(symbol), [(_, value), ..]) => {
            book(&symbol, &read(value.get())?, levels, market)
        }
        (Some("Trades"), Some(symbol), [(_, value), ..]) => {
            let trades: Vec<WireTrade> = read(value.get())?;
            trades.iter().try_for_each(|wire| trade(&symbol, wire, market))
        }
        _ => {
            market.ignored_frames += 1;
            Ok(())
        }
    }
}

/// The stream's name of a pair that REST names by a key such as `XXBTZUSD`.
fn spelled(key: &str, market: &Market) -> String {
    let profile = market.profile;
    match (profile.split)(key) {
        Some((base, quote)) if !key.contains('/') => (profile.spell)(&base, &quote),
        _ => key.into(),
    }
}

/// Dark pools have no name on the stream, and no market data.
fn instrument(wire: WirePair, streamed: fn(&str) -> Option<String>) -> Option<Instrument> {
    let raw_symbol = streamed(&wire.wsname?)?;
    let (base, quote_asset) = split_at(&raw_symbol, '/')?;
    let tick_size = wire.tick_size.and_then(|step| step.parse().ok());
    Some(Instrument {
        base: asset(&base),
        quote_asset: asset(&quote_asset),
        raw_symbol,
        tick_size: tick_size.unwrap_or_else(|| tick_of(wire.pair_decimals)),
        lot_size: tick_of(wire.lot_decimals),
        price_precision: wire.pair_decimals,
        size_precision: wire.lot_decimals,
        trading_status: wire.status,
        ..Instrument::default()
    })
}

fn quote(symbol: &str, wire: &RawValue, market: &mut Market) -> Result<(), DecodeError> {
    let tick = ticker(&read(wire.get())?)?;
    let flags = tick.flags | REST;
    market.quote(symbol, QuoteTick { origin: Origin::Rest, flags, ..tick });
    Ok(())
}

/// Read a ticker, of which REST and the stream of v1 have the same form.
pub(in crate::venue) fn ticker(wire: &WireTicker) -> Result<QuoteTick, DecodeError> {
    let mut flags = 0;
    let (WireBest(bid, _, bid_size), WireBest(ask, _, ask_size)) = (&wire.b, &wire.a);
    let tick = QuoteTick {
        bid: number("b", bid, &mut flags)?,
        bid_size: number("b", bid_size, &mut flags)?,
        ask: number("a", ask, &mut flags)?,
        ask_size: number("a", ask_size, &mut flags)?,
        ..QuoteTick::default()
    };
    Ok(QuoteTick { flags, ..tick })
}

/// Read decimal seconds since 1970; zero is a missing time.
pub(in crate::venue) fn seconds(text: &str) -> Result<Option<i64>, DecodeError> {
    match Fixed::parse(text).map(|fixed| i64::try_from(fixed.digits(Some(9)))) {
        Some(Ok(ns)) => Ok((ns > 0).then_some(ns)),
        _ => Err(DecodeError::Time { field: "time", found: text.chars().take(40).collect() }),
    }
}

/// The side of a trade, which is the taker's.
pub(in crate::venue) fn taker(text: &str) -> Option<Side> {
    match text {
        "b" => Some(Side::Buy),
        "s" => Some(Side::Sell),
        _ => None,
    }
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
    let WireTrade(price, volume, time, side, _, _, id) = wire;
    let mut flags = 0;
    let tick = TradeTick {
        channel: Channel::Trade,
        ts_event: seconds(time.get())?,
        ts_sent: None,
        price: number("price", price, &mut flags)?,
        size: number("volume", volume, &mut flags)?,
        side: taker(side),
        trade_id: Some(TradeId::Number(*id)),
        seq: Some(*id),
        conditions: None,
        flags,
    };
    market.polled_trade(symbol, tick);
    Ok(())
}

/// A pair of the list, by a key that the stream does not know.
#[derive(Deserialize)]
struct WirePair {
    wsname: Option<String>,
    pair_decimals: f64,
    lot_decimals: f64,
    tick_size: Option<String>,
    status: Option<String>,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    error: Vec<&'a str>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
}

/// The pairs of a result in the order of the wire, without the cursor that stands beside trades.
struct Pairs<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs<'de>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str("a map of pairs")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
            if key != "last" {
                pairs.push((key, value));
            }
        }
        Ok(Pairs(pairs))
    }
}

#[derive(Deserialize)]
pub(in crate::venue) struct WireTicker<'a> {
    #[serde(borrow)]
    a: WireBest<'a>,
    #[serde(borrow)]
    b: WireBest<'a>,
}

/// Price, whole-lot volume, lot volume.
#[derive(Deserialize)]
struct WireBest<'a>(&'a str, IgnoredAny, &'a str);

#[derive(Deserialize)]
struct WireDepth<'a> {
    #[serde(borrow)]
    bids: Vec<WireLevel<'a>>,
    #[serde(borrow)]
    asks: Vec<WireLevel<'a>>,
}

#[derive(Deserialize)]
struct WireLevel<'a>(&'a str, &'a str, IgnoredAny);

/// Price, volume, seconds since 1970, b or s, market or limit, miscellaneous, id.
#[derive(Deserialize)]
struct WireTrade<'a>(
    &'a str,
    &'a str,
    #[serde(borrow)] &'a RawValue,
    &'a str,
    IgnoredAny,
    IgnoredAny,
    u64,
);
