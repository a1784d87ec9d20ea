//! Binance spot <https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams>.
//!
//! `m` says that the buyer was the maker: true is a sell by the aggressor. `t` counts up by one per
//! symbol, so gaps can be seen; `u` of bookTicker only grows, and bookTicker carries no time.
//! A stream of an unknown symbol is acknowledged like any other and stays silent. Book changes carry
//! the numbers `U` to `u` that they cover; the book that they change comes by REST.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    DecodeError, Dialect, InstrumentList, Profile, json_error, names_kind, number, places, query,
};
use crate::book::Levels;
use crate::fill::Missing;
use crate::market::Market;
use crate::row::{Origin, Side, TradeId};
use crate::scan::{Scanner, epoch_ns};
use crate::subscription::{Ask, Channel, Fetch, Request};
use crate::tick::{Instrument, Notice, QuoteTick, TradeTick};

mod depth;
mod rest;
mod symbols;
mod wire;

use wire::{
    Answer, Event, ExchangeInfo, WireAggTrade, WireBookTicker, WireFilter, WireSymbol, WireTrade,
    Wrapped,
};

/// Streams asked for in one request, well below what one frame may hold.
const STREAMS_PER_REQUEST: usize = 100;
/// Levels per side of a book by REST: deeper ones are unknown until they change. Weighs 50.
const SNAPSHOT_LEVELS: usize = 1000;

pub const PROFILE_US: Profile = Profile {
    name: "binance-us",
    ws_url: Some("wss://stream.binance.us:9443"),
    rest_url: "https://api.binance.us",
    split: symbols::split_us,
    ..PROFILE
};

pub const PROFILE: Profile = Profile {
    name: "binance",
    ws_url: Some("wss://stream.binance.com:9443"),
    ws_path: "/stream?timeUnit=MICROSECOND",
    rest_url: "https://api.binance.com",
    // As the streams are asked for, by the parameter in their address.
    rest_headers: &[("X-MBX-TIME-UNIT", "MICROSECOND")],
    instruments: InstrumentList::Rest("/api/v3/exchangeInfo"),
    channels: &[Channel::Quote, Channel::Trade, Channel::AggTrade, Channel::Book],
    default_channels: &[Channel::Quote, Channel::Trade, Channel::Book],
    streams_per_connection: 1024,
    life_s: Some(24 * 3600 - 900),
    sends_per_second: 4,
    fetches_per_second: 2,
    poll_ms: 1000,
    key: None,
    closes: false,
    single: None,
    ping: None,
    seq_scope: "symbol",
    quote_seq_grows: true,
    trade_ids_count_up: true,
    book_ranges: true,
    book_truncates: false,
    book_verifiable: true,
    book_quotes: false,
    split: symbols::split,
    spell: |base, quote| format!("{base}{quote}"),
    open: || Box::new(Binance::default()),
};

#[derive(Default)]
struct Binance {
    next_id: u64,
    levels: Levels,
}

impl Dialect for Binance {
    fn subscribe(&mut self, wanted: &[(Channel, String)]) -> Vec<Request> {
        let indices: Vec<usize> = (0..wanted.len()).collect();
        indices.chunks(STREAMS_PER_REQUEST).map(|covers| self.request(wanted, covers)).collect()
    }

    fn concerns_books(&self, frame: &str) -> bool {
        !names_kind(
            frame,
            &["@bookTicker\"", "@trade\"", "@aggTrade\"", "\"e\":\"trade\"", "\"e\":\"aggTrade\""],
        )
    }

    fn decode(&mut self, frame: &str, market: &mut Market) -> Result<(), DecodeError> {
        let scanned = scan_book_ticker(frame, market)
            .or_else(|| depth::scan(frame, &mut self.levels, market))
            .or_else(|| scan_trade(frame, market));
        if scanned.is_some() {
            return Ok(());
        }
        // What comes in arrays are statistics of all symbols.
        if frame.starts_with('[') {
            read::<Vec<&RawValue>>(frame)?;
            market.ignored_frames += 1;
            return Ok(());
        }
        let wrapped: Wrapped = read(frame)?;
        let stream = wrapped.stream.as_deref().unwrap_or_default();
        match wrapped.data {
            Some(data) if data.get().starts_with('[') => {
                market.ignored_frames += 1;
                Ok(())
            }
            Some(data) => decode_data(stream, data.get(), &mut self.levels, market),
            None if wrapped.stream.is_none() && is_answer(frame) => answer(frame, market),
            None => decode_data("", frame, &mut self.levels, market),
        }
    }

    fn resync(&mut self, raw_symbols: &[String]) -> Vec<Ask> {
        let path = |symbol| format!("/api/v3/depth?symbol={symbol}&limit={SNAPSHOT_LEVELS}");
        raw_symbols.iter().map(path).map(|path| Ask::Fetch(Fetch::get(path))).collect()
    }

    fn fetched(&mut self, url: &str, body: &str, market: &mut Market) -> Result<(), DecodeError> {
        let path = url.split('?').next().unwrap_or_default();
        match path.rsplit_once("/v3/").or(path.rsplit_once("/v1/")).map(|(_, resource)| resource) {
            Some("exchangeInfo") => {
                let info: ExchangeInfo = read(body)?;
                market.learn(info.symbols.into_iter().map(instrument).collect());
            }
            Some("depth") => {
                depth::snapshot(query(url, "symbol"), body, &mut self.levels, market)?;
            }
            Some("ticker/bookTicker") => rest::quotes(body, market)?,
            Some("trades" | "historicalTrades") => {
                rest::trades(query(url, "symbol").unwrap_or_default(), body, market)?;
            }
            Some("aggTrades") => {
                rest::agg_trades(query(url, "symbol").unwrap_or_default(), body, market)?;
            }
            _ => market.ignored_frames += 1,
        }
        Ok(())
    }

    fn poll(&mut self, wanted: &[(Channel, String)]) -> Vec<Fetch> {
        rest::poll(wanted)
    }

    fn fill(&self, missing: &Missing) -> Option<Fetch> {
        Some(rest::fill(missing))
    }
}

impl Binance {
    fn request(&mut self, wanted: &[(Channel, String)], covers: &[usize]) -> Request {
        self.next_id += 1;
        let streams: Vec<String> = covers.iter().map(|at| stream(&wanted[*at])).collect();
        let id = self.next_id;
        let text =
            serde_json::json!({"method": "SUBSCRIBE", "params": streams, "id": id}).to_string();
        Request { id, text, covers: covers.to_vec() }
    }
}

fn stream((channel, raw_symbol): &(Channel, String)) -> String {
    let name = match channel {
        Channel::Quote => "bookTicker",
        Channel::Trade => "trade",
        Channel::AggTrade => "aggTrade",
        Channel::Book => "depth@100ms",
    };
    format!("{}@{name}", raw_symbol.to_lowercase())
}

fn decode_data(
    stream: &str,
    data: &str,
    levels: &mut Levels,
    market: &mut Market,
) -> Result<(), DecodeError> {
    let event: Event = read(data)?;
    match event.e {
        Some("depthUpdate") => depth::update(data, levels, market),
        Some("trade") => trade(&read(data)?, market),
        Some("aggTrade") => agg_trade(&read(data)?, market),
        Some("serverShutdown") => {
            market.notices.push(Notice::System("serverShutdown".into()));
            Ok(())
        }
        None if event.u.is_some() && event.s.is_some() => book_ticker(&read(data)?, market),
        None if event.last_update_id.is_some() => depth::partial(stream, data, levels, market),
        _ => {
            market.ignored_frames += 1;
            Ok(())
        }
    }
}

fn book_ticker(wire: &WireBookTicker, market: &mut Market) -> Result<(), DecodeError> {
    let mut flags = 0;
    let tick = QuoteTick {
        ts_event: None,
        ts_sent: None,
        bid: number("b", wire.b, &mut flags)?,
        bid_size: number("B", wire.bid_size, &mut flags)?,
        ask: number("a", wire.a, &mut flags)?,
        ask_size: number("A", wire.ask_size, &mut flags)?,
        seq: Some(wire.u),
        origin: Origin::Native,
        flags,
    };
    market.quote(wire.s, tick);
    Ok(())
}

fn trade(wire: &WireTrade, market: &mut Market) -> Result<(), DecodeError> {
    push_trade(
        Channel::Trade,
        wire.s,
        wire.t,
        wire.p,
        wire.q,
        wire.event,
        wire.traded,
        wire.m,
        market,
    )
}

fn agg_trade(wire: &WireAggTrade, market: &mut Market) -> Result<(), DecodeError> {
    push_trade(
        Channel::AggTrade,
        wire.s,
        wire.a,
        wire.p,
        wire.q,
        wire.event,
        wire.traded,
        wire.m,
        market,
    )
}

fn push_trade(
    channel: Channel,
    raw_symbol: &str,
    id: u64,
    price: &str,
    size: &str,
    sent: u64,
    traded: u64,
    buyer_is_maker: bool,
    market: &mut Market,
) -> Result<(), DecodeError> {
    let mut flags = 0;
    let tick = TradeTick {
        channel,
        ts_event: epoch_ns(traded),
        ts_sent: epoch_ns(sent),
        price: number("p", price, &mut flags)?,
        size: number("q", size, &mut flags)?,
        side: Some(aggressor(buyer_is_maker)),
        trade_id: Some(TradeId::Number(id)),
        seq: Some(id),
        conditions: None,
        flags,
    };
    market.trade(raw_symbol, tick);
    Ok(())
}

fn aggressor(buyer_is_maker: bool) -> Side {
    if buyer_is_maker { Side::Sell } else { Side::Buy }
}

fn is_answer(frame: &str) -> bool {
    read::<Answer>(frame).is_ok_and(|a| a.result.is_some() || a.error.is_some() || a.code.is_some())
}

/// Read the answer to a request: `result`, or an error flat or nested.
fn answer(frame: &str, market: &mut Market) -> Result<(), DecodeError> {
    let answer: Answer = read(frame)?;
    let error = answer.error.map(|error| (error.code, error.msg));
    let refused = error.or(answer.code.map(|code| (code, answer.msg.unwrap_or_default())));
    let refused = refused.map(|(code, msg)| format!("{msg} (code {code})"));
    let id = answer.id.and_then(|id| id.get().trim_matches('"').parse().ok());
    market.notices.push(match (id, refused) {
        (Some(id), refused) => Notice::Answer { id, refused },
        (None, Some(reason)) => Notice::Error(reason),
        (None, None) => return Ok(()),
    });
    Ok(())
}

/// Read a combined bookTicker of exactly the documented spelling; anything else is left to serde.
#[inline]
fn scan_book_ticker(frame: &str, market: &mut Market) -> Option<()> {
    let mut scan = Scanner::new(frame.as_bytes());
    scan.literal(b"{\"stream\":\"")?;
    scan.text()?;
    scan.literal(b"\",\"data\":{\"u\":")?;
    let seq = scan.integer()?;
    scan.literal(b",\"s\":\"")?;
    let raw_symbol = scan.text()?;
    scan.literal(b"\",\"b\":\"")?;
    let bid = scan.plain_decimal()?;
    scan.literal(b"\",\"B\":\"")?;
    let bid_size = scan.plain_decimal()?;
    scan.literal(b"\",\"a\":\"")?;
    let ask = scan.plain_decimal()?;
    scan.literal(b"\",\"A\":\"")?;
    let ask_size = scan.plain_decimal()?;
    scan.literal(b"\"}}")?;
    if !scan.rest().is_empty() {
        return None;
    }
    let seq = Some(seq);
    let tick = QuoteTick { bid, bid_size, ask, ask_size, seq, ..QuoteTick::default() };
    market.quote(raw_symbol, tick);
    Some(())
}

/// Read a combined trade of exactly the documented spelling; anything else is left to serde.
#[inline]
fn scan_trade(frame: &str, market: &mut Market) -> Option<()> {
    let mut scan = Scanner::new(frame.as_bytes());
    scan.literal(b"{\"stream\":\"")?;
    scan.text()?;
    scan.literal(b"\",\"data\":{\"e\":\"trade\",\"E\":")?;
    let sent = scan.integer()?;
    scan.literal(b",\"s\":\"")?;
    let raw_symbol = scan.text()?;
    scan.literal(b"\",\"t\":")?;
    let id = scan.integer()?;
    scan.literal(b",\"p\":\"")?;
    let price = scan.plain_decimal()?;
    scan.literal(b"\",\"q\":\"")?;
    let size = scan.plain_decimal()?;
    scan.literal(b"\",\"T\":")?;
    let traded = scan.integer()?;
    scan.literal(b",\"m\":")?;
    let buyer_is_maker = scan.literal(b"true").is_some();
    if !buyer_is_maker {
        scan.literal(b"false")?;
    }
    scan.literal(b",\"M\":")
        .and_then(|()| scan.literal(b"true").or_else(|| scan.literal(b"false")))?;
    scan.literal(b"}}")?;
    if !scan.rest().is_empty() {
        return None;
    }
    let tick = TradeTick {
        channel: Channel::Trade,
        ts_event: epoch_ns(traded),
        ts_sent: epoch_ns(sent),
        price,
        size,
        side: Some(aggressor(buyer_is_maker)),
        trade_id: Some(TradeId::Number(id)),
        seq: Some(id),
        conditions: None,
        flags: 0,
    };
    market.trade(raw_symbol, tick);
    Some(())
}

fn instrument(wire: WireSymbol) -> Instrument {
    let filter = |kind: &str, field: fn(&WireFilter) -> Option<&String>| {
        let found = wire.filters.iter().find(|filter| filter.filter_type == kind);
        found.and_then(field).and_then(|step| step.parse().ok()).unwrap_or(f64::NAN)
    };
    let tick_size: f64 = filter("PRICE_FILTER", |filter| filter.tick_size.as_ref());
    let lot_size: f64 = filter("LOT_SIZE", |filter| filter.step_size.as_ref());
    Instrument {
        price_precision: places(tick_size),
        size_precision: places(lot_size),
        tick_size,
        lot_size,
        raw_symbol: wire.symbol,
        base: wire.base_asset,
        quote_asset: wire.quote_asset,
        trading_status: Some(wire.status),
        ..Instrument::default()
    }
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, DecodeError> {
    serde_json::from_str(text).map_err(|error| json_error("binance", text, &error))
}
