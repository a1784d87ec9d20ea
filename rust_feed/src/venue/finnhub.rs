//! Finnhub, trades of stocks, currencies and coins <https://finnhub.io/docs/api/websocket-trades>.
//!
//! A key is wanted, and a key may hold one connection. Nothing is acknowledged: the first data of a
//! symbol is its acceptance. Trades have no id, no side and no order: neither a loss nor a repeat can
//! be proved. A volume of 0 is a price without a trade. Times of the stream count milliseconds, those
//! of REST seconds. `/quote` knows a last price only: no bid and no ask is made of it.

use std::collections::HashSet;

use serde::Deserialize;

use super::{
    DecodeError, Dialect, InstrumentList, Key, Profile, asset, json_error, number, query, split_at,
    take_each,
};
use crate::market::Market;
use crate::row::REST;
use crate::subscription::{Ask, Channel, Fetch, Request};
use crate::tick::{Notice, TradeTick};

mod wire;

use wire::{Head, WireQuote, WireTrade};

pub const PROFILE: Profile = Profile {
    name: "finnhub",
    ws_url: Some("wss://ws.finnhub.io"),
    ws_path: "/",
    rest_url: "https://finnhub.io",
    rest_headers: &[],
    instruments: InstrumentList::None,
    channels: &[Channel::Trade],
    default_channels: &[Channel::Trade],
    streams_per_connection: 50,
    life_s: None,
    sends_per_second: 10,
    fetches_per_second: 1,
    poll_ms: 1000,
    key: Some(Key {
        variable: "FINNHUB_API_KEY",
        query: "token",
        header: "X-Finnhub-Token",
        connections: 1,
    }),
    closes: true,
    single: Some("its trades have no number"),
    ping: None,
    seq_scope: "none",
    quote_seq_grows: false,
    trade_ids_count_up: false,
    book_ranges: false,
    book_truncates: false,
    book_verifiable: false,
    book_quotes: false,
    split,
    spell,
    open: || Box::new(Finnhub::default()),
};

/// Currencies, which the source OANDA trades against each other.
const CURRENCIES: [&str; 10] =
    ["USD", "EUR", "GBP", "JPY", "CHF", "AUD", "CAD", "NZD", "SEK", "NOK"];
/// Quote assets, longest first, for pairs such as `BTCUSDT`.
const QUOTE_ASSETS: [&str; 14] = [
    "FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USD", "EUR", "GBP", "JPY", "TRY", "BTC", "ETH",
    "BNB", "CHF",
];

/// A stock has no source before a colon, and its price is in dollars.
fn split(raw: &str) -> Option<(String, String)> {
    let Some((_, pair)) = raw.split_once(':') else {
        return Some((raw.into(), "USD".into()));
    };
    let separated = ['_', '-', '/'].into_iter().find_map(|separator| split_at(pair, separator));
    separated.or_else(|| {
        let is_behind = |quote: &&&str| pair.len() > quote.len() && pair.ends_with(**quote);
        let quote = QUOTE_ASSETS.iter().find(is_behind)?;
        Some((asset(&pair[..pair.len() - quote.len()]), asset(quote)))
    })
}

fn spell(base: &str, quote: &str) -> String {
    if CURRENCIES.contains(&base) {
        format!("OANDA:{base}_{quote}")
    } else if quote == "USD" {
        base.into()
    } else {
        format!("BINANCE:{base}{quote}")
    }
}

#[derive(Default)]
struct Finnhub {
    next_id: u64,
    /// Symbols whose data has come.
    heard: HashSet<Box<str>>,
}

impl Dialect for Finnhub {
    fn subscribe(&mut self, wanted: &[(Channel, String)]) -> Vec<Request> {
        let request = |(at, (_, symbol)): (usize, &(Channel, String))| {
            self.next_id += 1;
            let text = serde_json::json!({"type": "subscribe", "symbol": symbol}).to_string();
            Request { id: self.next_id, text, covers: vec![at] }
        };
        wanted.iter().enumerate().map(request).collect()
    }

    fn resync(&mut self, _raw_symbols: &[String]) -> Vec<Ask> {
        Vec::new()
    }

    fn poll(&mut self, wanted: &[(Channel, String)]) -> Vec<Fetch> {
        wanted.iter().map(|(_, s)| Fetch::get(format!("/api/v1/quote?symbol={s}"))).collect()
    }

    fn decode(&mut self, frame: &str, market: &mut Market) -> Result<(), DecodeError> {
        let head: Head = read(frame)?;
        match (head.kind, head.data) {
            ("trade", Some(data)) => {
                let trades: Vec<WireTrade> = read(data.get())?;
                take_each(&trades, |wire| self.trade(wire, market))
            }
            ("ping", _) => Ok(()),
            ("error", _) => {
                let reason = head.msg.unwrap_or_default().into_owned();
                market.notices.push(match reason.strip_prefix("Invalid symbol ") {
                    Some(symbol) => refusal(symbol, reason.clone()),
                    None => Notice::Error(reason),
                });
                Ok(())
            }
            _ => {
                market.ignored_frames += 1;
                Ok(())
            }
        }
    }

    fn fetched(&mut self, url: &str, body: &str, market: &mut Market) -> Result<(), DecodeError> {
        let path = url.split('?').next().unwrap_or_default();
        match query(url, "symbol") {
            Some(symbol) if path.ends_with("/quote") => {
                last_price(&symbol.replace("%3A", ":"), &read(body)?, market)
            }
            _ => {
                market.ignored_frames += 1;
                Ok(())
            }
        }
    }
}

impl Finnhub {
    fn trade(&mut self, wire: &WireTrade, market: &mut Market) -> Result<(), DecodeError> {
        let mut flags = 0;
        let size = wire.v.map(|v| number("v", v.get(), &mut flags)).transpose()?;
        let conditions = wire.c.as_ref().map(|codes| codes.iter().map(|c| (&**c).into()).collect());
        let tick = TradeTick {
            ts_event: since_1970(wire.t, 1_000_000),
            size: size.filter(|size| *size != 0.0).unwrap_or(f64::NAN),
            conditions,
            ..last(number("p", wire.p.get(), &mut flags)?)
        };
        market.trade(wire.s, TradeTick { flags, ..tick });
        if !self.heard.contains(wire.s) {
            self.heard.insert(wire.s.into());
            let (channel, raw_symbol) = (Some(Channel::Trade), wire.s.into());
            market.notices.push(Notice::Channel { channel, raw_symbol, refused: None });
        }
        Ok(())
    }
}

/// Take a last price, which is no news until it changes; an unknown symbol's is all zeros.
fn last_price(symbol: &str, wire: &WireQuote, market: &mut Market) -> Result<(), DecodeError> {
    let mut flags = REST;
    let price = number("c", wire.c.get(), &mut flags)?;
    if price == 0.0 && wire.t == 0 {
        market.notices.push(refusal(symbol, "no data".into()));
        return Ok(());
    }
    let ts_event = since_1970(wire.t, 1_000_000_000);
    if market.is_new_price(symbol, price, ts_event) {
        market.trade(symbol, TradeTick { ts_event, flags, ..last(price) });
    }
    market.unchanged(symbol);
    Ok(())
}

/// A trade of which nothing but the price is known.
fn last(price: f64) -> TradeTick {
    TradeTick {
        channel: Channel::Trade,
        ts_event: None,
        ts_sent: None,
        price,
        size: f64::NAN,
        side: None,
        trade_id: None,
        seq: None,
        conditions: None,
        flags: 0,
    }
}

fn refusal(symbol: &str, reason: String) -> Notice {
    Notice::Channel { channel: None, raw_symbol: symbol.into(), refused: Some(reason) }
}

fn since_1970(count: u64, unit_ns: i64) -> Option<i64> {
    i64::try_from(count).ok().filter(|count| *count > 0)?.checked_mul(unit_ns)
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, DecodeError> {
    serde_json::from_str(text).map_err(|error| json_error("finnhub", text, &error))
}
