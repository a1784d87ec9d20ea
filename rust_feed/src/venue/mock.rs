//! The mock venue, which the simulated exchange alone serves: REST only, and it has no other host.
//!
//! Prices and sizes are texts, times RFC 3339. `seq` of a quote grows, `id` of a trade counts up by
//! one per symbol, `side` is the aggressor's as ours is. Trades are asked for behind the last id.

use std::collections::HashMap;

use serde::Deserialize;

use super::{
    DecodeError, Dialect, InstrumentList, Profile, json_error, number, places, query, split_at,
    time,
};
use crate::market::Market;
use crate::row::{Origin, REST, Side, TradeId};
use crate::subscription::{Ask, Channel, Fetch, Request};
use crate::tick::{Instrument, QuoteTick, TradeTick};

const SYMBOLS_PER_REQUEST: usize = 100;

pub const PROFILE: Profile = Profile {
    name: "mock",
    ws_url: None,
    ws_path: "",
    rest_url: "",
    rest_headers: &[],
    instruments: InstrumentList::Rest("/v1/instruments"),
    channels: &[Channel::Quote, Channel::Trade],
    default_channels: &[Channel::Quote, Channel::Trade],
    streams_per_connection: 200,
    life_s: None,
    sends_per_second: 1,
    fetches_per_second: 20,
    poll_ms: 1000,
    key: None,
    closes: false,
    single: Some("it has no WebSocket"),
    ping: None,
    seq_scope: "symbol",
    quote_seq_grows: true,
    trade_ids_count_up: true,
    book_ranges: false,
    book_truncates: false,
    book_verifiable: false,
    book_quotes: false,
    split: |raw| split_at(raw, '-'),
    spell: |base, quote| format!("{base}-{quote}"),
    open: || Box::new(Mock::default()),
};

#[derive(Default)]
struct Mock {
    /// The last trade of each symbol that was told of.
    last_ids: HashMap<String, u64>,
}

impl Dialect for Mock {
    fn subscribe(&mut self, _wanted: &[(Channel, String)]) -> Vec<Request> {
        Vec::new()
    }

    fn resync(&mut self, _raw_symbols: &[String]) -> Vec<Ask> {
        Vec::new()
    }

    fn poll(&mut self, wanted: &[(Channel, String)]) -> Vec<Fetch> {
        let of = |channel| wanted.iter().filter(move |(c, _)| *c == channel).map(|(_, s)| &**s);
        let symbols: Vec<&str> = of(Channel::Quote).collect();
        let quotes = symbols
            .chunks(SYMBOLS_PER_REQUEST)
            .map(|chunk| format!("/v1/quotes?symbols={}", chunk.join(",")));
        let trades = of(Channel::Trade).map(|symbol| {
            let after = self.last_ids.get(symbol).copied().unwrap_or(0);
            format!("/v1/trades?symbol={symbol}&after={after}")
        });
        quotes.chain(trades).map(Fetch::get).collect()
    }

    fn decode(&mut self, _frame: &str, market: &mut Market) -> Result<(), DecodeError> {
        market.ignored_frames += 1;
        Ok(())
    }

    fn fetched(&mut self, url: &str, body: &str, market: &mut Market) -> Result<(), DecodeError> {
        let path = url.split('?').next().unwrap_or_default();
        match (path.rsplit('/').next(), query(url, "symbol")) {
            (Some("instruments"), _) => {
                let list: WireInstruments = read(body)?;
                market.learn(list.instruments.iter().map(instrument).collect());
                Ok(())
            }
            (Some("quotes"), _) => {
                let list: WireQuotes = read(body)?;
                list.quotes.iter().try_for_each(|wire| quote(wire, market))
            }
            (Some("trades"), Some(symbol)) => self.trades(symbol, &read(body)?, market),
            _ => {
                market.ignored_frames += 1;
                Ok(())
            }
        }
    }
}

impl Mock {
    fn trades(
        &mut self,
        symbol: &str,
        list: &WireTrades,
        market: &mut Market,
    ) -> Result<(), DecodeError> {
        for wire in &list.trades {
            let mut flags = REST;
            let tick = TradeTick {
                channel: Channel::Trade,
                ts_event: time("time", wire.time)?,
                ts_sent: None,
                price: number("price", wire.price, &mut flags)?,
                size: number("size", wire.size, &mut flags)?,
                side: match wire.side {
                    "buy" => Some(Side::Buy),
                    "sell" => Some(Side::Sell),
                    _ => None,
                },
                trade_id: Some(TradeId::Number(wire.id)),
                seq: Some(wire.id),
                conditions: None,
                flags: 0,
            };
            market.polled_trade(symbol, TradeTick { flags, ..tick });
            let newest = self.last_ids.entry(symbol.into()).or_default();
            *newest = wire.id.max(*newest);
        }
        market.unchanged(symbol);
        Ok(())
    }
}

fn quote(wire: &WireQuote, market: &mut Market) -> Result<(), DecodeError> {
    let mut flags = REST;
    let tick = QuoteTick {
        ts_event: time("time", wire.time)?,
        ts_sent: None,
        bid: number("bid", wire.bid, &mut flags)?,
        bid_size: number("bid_size", wire.bid_size, &mut flags)?,
        ask: number("ask", wire.ask, &mut flags)?,
        ask_size: number("ask_size", wire.ask_size, &mut flags)?,
        seq: Some(wire.seq),
        origin: Origin::Rest,
        flags: 0,
    };
    market.quote(wire.symbol, QuoteTick { flags, ..tick });
    Ok(())
}

fn instrument(wire: &WireInstrument) -> Instrument {
    let step = |text: &str| text.parse().unwrap_or(f64::NAN);
    let (tick_size, lot_size) = (step(wire.tick_size), step(wire.lot_size));
    Instrument {
        raw_symbol: wire.symbol.into(),
        base: wire.base.into(),
        quote_asset: wire.quote.into(),
        tick_size,
        lot_size,
        price_precision: places(tick_size),
        size_precision: places(lot_size),
        ..Instrument::default()
    }
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, DecodeError> {
    serde_json::from_str(text).map_err(|error| json_error("mock", text, &error))
}

#[derive(Deserialize)]
struct WireInstruments<'a> {
    #[serde(borrow)]
    instruments: Vec<WireInstrument<'a>>,
}

#[derive(Deserialize)]
struct WireInstrument<'a> {
    symbol: &'a str,
    base: &'a str,
    quote: &'a str,
    tick_size: &'a str,
    lot_size: &'a str,
}

#[derive(Deserialize)]
struct WireQuotes<'a> {
    #[serde(borrow)]
    quotes: Vec<WireQuote<'a>>,
}

#[derive(Deserialize)]
struct WireQuote<'a> {
    symbol: &'a str,
    bid: &'a str,
    bid_size: &'a str,
    ask: &'a str,
    ask_size: &'a str,
    seq: u64,
    time: Option<&'a str>,
}

#[derive(Deserialize)]
struct WireTrades<'a> {
    #[serde(borrow)]
    trades: Vec<WireTrade<'a>>,
}

#[derive(Deserialize)]
struct WireTrade<'a> {
    id: u64,
    price: &'a str,
    size: &'a str,
    side: &'a str,
    time: Option<&'a str>,
}
