//! Binance by REST, where the stream cannot be had: best bid and offer, trades, books.

use serde::Deserialize;

use super::{DecodeError, aggressor, read};
use crate::fill::Missing;
use crate::market::Market;
use crate::row::{Origin, REST, TradeId};
use crate::scan::epoch_ns;
use crate::subscription::{Channel, Fetch};
use crate::tick::{QuoteTick, TradeTick};
use crate::venue::number;

/// Levels per side of a polled book. Weighs 5.
const POLLED_LEVELS: usize = 100;
/// Trades per request; the weight is 25 (2 for aggregated ones) whatever the number.
const POLLED_TRADES: usize = 1000;
/// Trades that may happen between the look at the newest id and the venue's answer.
const MEANWHILE: u64 = 200;
/// Symbols in one request for best bids and offers.
const SYMBOLS_PER_REQUEST: usize = 100;

pub(super) fn poll(wanted: &[(Channel, String)]) -> Vec<Fetch> {
    let quoted: Vec<String> = wanted
        .iter()
        .filter(|(channel, _)| *channel == Channel::Quote)
        .map(|(_, symbol)| format!("%22{symbol}%22"))
        .collect();
    let many = |symbols: &[String]| {
        format!("/api/v3/ticker/bookTicker?symbols=%5B{}%5D", symbols.join(","))
    };
    let mut paths: Vec<String> = quoted.chunks(SYMBOLS_PER_REQUEST).map(many).collect();
    paths.extend(wanted.iter().filter_map(|(channel, symbol)| match channel {
        Channel::Quote => None,
        Channel::Trade => Some(format!("/api/v3/trades?symbol={symbol}&limit={POLLED_TRADES}")),
        Channel::AggTrade => {
            Some(format!("/api/v3/aggTrades?symbol={symbol}&limit={POLLED_TRADES}"))
        }
        Channel::Book => Some(format!("/api/v3/depth?symbol={symbol}&limit={POLLED_LEVELS}")),
    }));
    paths.into_iter().map(Fetch::get).collect()
}

/// One quote, or a list of them.
pub(super) fn quotes(body: &str, market: &mut Market) -> Result<(), DecodeError> {
    let quotes: Vec<WireQuote> =
        if body.trim_start().starts_with('[') { read(body)? } else { vec![read(body)?] };
    for wire in &quotes {
        let mut flags = REST;
        let tick = QuoteTick {
            bid: number("bidPrice", wire.bid_price, &mut flags)?,
            bid_size: number("bidQty", wire.bid_qty, &mut flags)?,
            ask: number("askPrice", wire.ask_price, &mut flags)?,
            ask_size: number("askQty", wire.ask_qty, &mut flags)?,
            origin: Origin::Rest,
            ..QuoteTick::default()
        };
        market.quote(wire.symbol, QuoteTick { flags, ..tick });
    }
    Ok(())
}

/// Ask for the last trades, which every host of the venue gives, or for older ones by their id.
///
/// The hosts for market data alone, and binance.us without a key, have no `historicalTrades`.
pub(super) fn fill(missing: &Missing) -> Fetch {
    let symbol = &missing.fill.raw_symbol;
    let (first, most) = (missing.first, POLLED_TRADES as u64);
    let back = missing.newest.saturating_sub(first) + 1 + MEANWHILE;
    let count = missing.span().min(most);
    Fetch::get(match missing.fill.channel {
        Channel::AggTrade => {
            format!("/api/v3/aggTrades?symbol={symbol}&fromId={first}&limit={count}")
        }
        _ if back <= most => format!("/api/v3/trades?symbol={symbol}&limit={back}"),
        _ => format!("/api/v3/historicalTrades?symbol={symbol}&fromId={first}&limit={count}"),
    })
}

pub(super) fn trades(symbol: &str, body: &str, market: &mut Market) -> Result<(), DecodeError> {
    let trades: Vec<WireTrade> = read(body)?;
    for wire in &trades {
        let (price, size) = (wire.price, wire.qty);
        let maker = wire.is_buyer_maker;
        trade(Channel::Trade, symbol, wire.id, price, size, wire.time, maker, market)?;
    }
    Ok(())
}

pub(super) fn agg_trades(symbol: &str, body: &str, market: &mut Market) -> Result<(), DecodeError> {
    let trades: Vec<WireAggTrade> = read(body)?;
    for wire in &trades {
        trade(Channel::AggTrade, symbol, wire.a, wire.p, wire.q, wire.traded, wire.m, market)?;
    }
    Ok(())
}

fn trade(
    channel: Channel,
    symbol: &str,
    id: u64,
    price: &str,
    size: &str,
    traded: u64,
    buyer_is_maker: bool,
    market: &mut Market,
) -> Result<(), DecodeError> {
    let mut flags = 0;
    let tick = TradeTick {
        channel,
        ts_event: epoch_ns(traded),
        ts_sent: None,
        price: number("price", price, &mut flags)?,
        size: number("qty", size, &mut flags)?,
        side: Some(aggressor(buyer_is_maker)),
        trade_id: Some(TradeId::Number(id)),
        seq: Some(id),
        conditions: None,
        flags,
    };
    market.polled_trade(symbol, tick);
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireQuote<'a> {
    symbol: &'a str,
    bid_price: &'a str,
    bid_qty: &'a str,
    ask_price: &'a str,
    ask_qty: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireTrade<'a> {
    id: u64,
    price: &'a str,
    qty: &'a str,
    time: u64,
    is_buyer_maker: bool,
}

#[derive(Deserialize)]
struct WireAggTrade<'a> {
    a: u64,
    p: &'a str,
    q: &'a str,
    #[serde(rename = "T")]
    traded: u64,
    m: bool,
}
