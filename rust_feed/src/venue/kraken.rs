//! Kraken spot, WebSocket v2 <https://docs.kraken.com/api/docs/websocket-v2/ticker>.
//!
//! Numbers are bare JSON numbers, read from their text. `side` is the taker's, as ours is.
//! `trade_id` counts up by one per symbol, so gaps can be seen. A ticker must be asked for with
//! `event_trigger: bbo`, or it moves with trades only. After a refused subscription the socket lives on.
//! Book messages have no number but a checksum; levels beyond the depth are dropped without a word.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    DecodeError, Dialect, InstrumentList, Profile, asset, json_error, number, split_at, take_each,
    take_level, tick_of, time, unread_flag,
};
use crate::book::Levels;
use crate::fill::Missing;
use crate::market::Market;
use crate::row::{self, Origin, Side, TradeId};
use crate::subscription::{Ask, Channel, Fetch, Request};
use crate::tick::{BookTick, Instrument, Notice, QuoteTick, TradeTick};

pub(super) mod rest;
mod scan;
mod wire;

use wire::{
    Head, SentParams, SentRequest, WireBook, WireInstruments, WirePair, WireResult, WireStatus,
    WireTicker, WireTrade,
};

const SYMBOLS_PER_REQUEST: usize = 100;
/// What a book subscription that names no depth brings.
const DEFAULT_DEPTH: usize = 10;
/// The smallest depth that fills a `depth` row; the checksum covers the ten best levels.
const BOOK_DEPTH: usize = 25;

pub const PROFILE: Profile = Profile {
    name: "kraken",
    ws_url: Some("wss://ws.kraken.com"),
    ws_path: "/v2",
    rest_url: "https://api.kraken.com",
    rest_headers: &[],
    instruments: InstrumentList::InBand {
        ask: r#"{"method":"subscribe","params":{"channel":"instrument","snapshot":true},"req_id":1}"#,
        path: "/0/public/AssetPairs",
    },
    channels: &[Channel::Quote, Channel::Trade, Channel::Book],
    default_channels: &[Channel::Quote, Channel::Trade, Channel::Book],
    streams_per_connection: 600,
    life_s: None,
    sends_per_second: 4,
    fetches_per_second: 1,
    poll_ms: 1000,
    key: None,
    closes: false,
    single: None,
    ping: Some(r#"{"method":"ping"}"#),
    seq_scope: "none",
    quote_seq_grows: false,
    trade_ids_count_up: true,
    book_ranges: false,
    book_truncates: true,
    book_verifiable: true,
    book_quotes: false,
    split: |raw| split_at(raw, '/').or_else(|| split_joined(raw)),
    spell: |base, quote| format!("{base}/{quote}"),
    open: || Box::new(Kraken { next_id: 1, ..Kraken::default() }),
};

/// Quote assets, longest first, for altnames such as `XBTUSD`; the first are those of keys such as
/// `XXBTZUSD`, where Kraken's oldest assets have an X, or a Z if they are money, before their name.
const QUOTE_ASSETS: [&str; 20] = [
    "ZUSD", "ZEUR", "ZGBP", "ZCAD", "ZAUD", "ZJPY", "XXBT", "XETH", "USDT", "USDC", "USD", "EUR",
    "GBP", "CAD", "AUD", "CHF", "JPY", "XBT", "BTC", "ETH",
];
const OLD_KEY: usize = 8;

fn split_joined(raw: &str) -> Option<(String, String)> {
    let fits = |quote: &&str| {
        raw.len() > quote.len()
            && raw.ends_with(*quote)
            && (raw.len() == OLD_KEY || !quote.starts_with(['X', 'Z']) || *quote == "XBT")
    };
    let quote = QUOTE_ASSETS.into_iter().find(fits)?;
    let base = &raw[..raw.len() - quote.len()];
    // Only pairs of two old assets have such a key: ZETAUSDT is ZETA in USDT.
    let is_old_key = raw.len() == OLD_KEY && quote.len() == 4 && quote.starts_with(['X', 'Z']);
    let old = |name: &str| is_old_key && name.len() == 4 && name.starts_with(['X', 'Z']);
    let name = |text: &str| asset(if old(text) { &text[1..] } else { text });
    Some((name(base), name(quote)))
}

#[derive(Default)]
struct Kraken {
    next_id: u64,
    /// Levels per side that each symbol's book was subscribed to, as far as is known.
    depths: HashMap<String, usize>,
    levels: Levels,
}

impl Dialect for Kraken {
    fn subscribe(&mut self, wanted: &[(Channel, String)]) -> Vec<Request> {
        let mut requests = Vec::new();
        for channel in PROFILE.channels {
            let indices: Vec<usize> =
                (0..wanted.len()).filter(|at| wanted[*at].0 == *channel).collect();
            for covers in indices.chunks(SYMBOLS_PER_REQUEST) {
                let symbols: Vec<&str> = covers.iter().map(|at| wanted[*at].1.as_str()).collect();
                let text = self.request("subscribe", *channel, &symbols);
                requests.push(Request { id: self.next_id, text, covers: covers.to_vec() });
            }
        }
        requests
    }

    fn resync(&mut self, raw_symbols: &[String]) -> Vec<Ask> {
        let symbols: Vec<&str> = raw_symbols.iter().map(String::as_str).collect();
        let mut asks = Vec::new();
        for chunk in symbols.chunks(SYMBOLS_PER_REQUEST) {
            for method in ["unsubscribe", "subscribe"] {
                asks.push(Ask::Send(self.request(method, Channel::Book, chunk)));
            }
        }
        asks
    }

    fn sent(&mut self, text: &str) {
        let Ok(request) = serde_json::from_str::<SentRequest>(text) else { return };
        if let Some(SentParams { channel: "book", symbol, depth }) = request.params {
            for symbol in symbol {
                self.depths.entry(symbol.into()).or_insert(depth.unwrap_or(DEFAULT_DEPTH));
            }
        }
    }

    fn concerns_books(&self, frame: &str) -> bool {
        let others = ["ticker", "trade", "instrument", "status", "heartbeat"];
        !others.iter().any(|name| frame.contains(&format!("\"channel\":\"{name}\"")))
    }

    fn decode(&mut self, frame: &str, market: &mut Market) -> Result<(), DecodeError> {
        if let Some(found) = scan::book(frame, &mut self.levels) {
            let tick = BookTick {
                snapshot: found.is_snapshot,
                ts_event: time("timestamp", Some(found.timestamp))?,
                checksum: Some(found.checksum),
                ..BookTick::default()
            };
            self.push_book(found.symbol, tick, market);
            return Ok(());
        }
        let head: Head = read(frame)?;
        match (head.channel, head.method) {
            (Some("ticker"), _) => {
                let flags = snapshot_flag(&head);
                let data: Vec<WireTicker> = read_data(frame, head.data)?;
                take_each(&data, |wire| ticker(wire, flags, market))
            }
            (Some("trade"), _) => {
                let flags = snapshot_flag(&head);
                let data: Vec<WireTrade> = read_data(frame, head.data)?;
                take_each(&data, |wire| trade(wire, flags, market))
            }
            (Some("book"), _) => {
                let snapshot = head.kind == Some("snapshot");
                let data: Vec<WireBook> = read_data(frame, head.data)?;
                take_each(&data, |wire| self.book(wire, snapshot, market))
            }
            (Some("instrument"), _) => {
                let data: WireInstruments = read_data(frame, head.data)?;
                market.learn(data.pairs.iter().map(instrument).collect());
                Ok(())
            }
            (Some("status"), _) => {
                let data: Vec<WireStatus> = read_data(frame, head.data)?;
                market.notices.extend(data.iter().map(|wire| Notice::System(wire.system.into())));
                Ok(())
            }
            (Some("heartbeat"), _) | (None, Some("pong" | "unsubscribe")) => Ok(()),
            (None, Some("subscribe")) => {
                if let Some(WireResult {
                    channel: Some("book"),
                    symbol: Some(symbol),
                    depth: Some(depth),
                }) = &head.result
                {
                    self.depths.insert((*symbol).into(), *depth);
                }
                answer(&head, market);
                Ok(())
            }
            (None, None) if head.error.is_none() => {
                Err(DecodeError::Json { venue: "kraken", found: frame.chars().take(80).collect() })
            }
            (None, _) if head.error.is_some() => {
                market.notices.push(Notice::Error(head.error.unwrap_or_default()));
                Ok(())
            }
            _ => {
                market.ignored_frames += 1;
                Ok(())
            }
        }
    }

    fn fetched(&mut self, url: &str, body: &str, market: &mut Market) -> Result<(), DecodeError> {
        rest::fetched(url, body, wsname, &mut self.levels, market)
    }

    fn poll(&mut self, wanted: &[(Channel, String)]) -> Vec<Fetch> {
        rest::poll(wanted)
    }

    fn fill(&self, missing: &Missing) -> Option<Fetch> {
        Some(rest::fill(missing))
    }
}

impl Kraken {
    fn request(&mut self, method: &str, channel: Channel, symbols: &[&str]) -> String {
        self.next_id += 1;
        let mut params = match channel {
            Channel::Quote => serde_json::json!({"channel": "ticker", "event_trigger": "bbo"}),
            Channel::Book => serde_json::json!({"channel": "book", "depth": BOOK_DEPTH}),
            _ => serde_json::json!({"channel": "trade", "snapshot": false}),
        };
        params["symbol"] = serde_json::json!(symbols);
        serde_json::json!({"method": method, "params": params, "req_id": self.next_id}).to_string()
    }

    fn book(
        &mut self,
        wire: &WireBook,
        snapshot: bool,
        market: &mut Market,
    ) -> Result<(), DecodeError> {
        self.levels.clear();
        let mut unread = None;
        let sides = [(&wire.bids, &mut self.levels.bids), (&wire.asks, &mut self.levels.asks)];
        for (levels, side) in sides {
            for wire in levels {
                take_level(wire.price.get(), wire.qty.get(), side, &mut unread);
            }
        }
        let tick = BookTick {
            snapshot,
            ts_event: time("timestamp", wire.timestamp)?,
            checksum: Some(wire.checksum),
            flags: unread_flag(unread.as_ref()),
            ..BookTick::default()
        };
        self.push_book(wire.symbol, tick, market);
        unread.map_or(Ok(()), Err)
    }

    fn push_book(&self, symbol: &str, tick: BookTick, market: &mut Market) {
        let depth = self.depths.get(symbol).copied();
        market.book(symbol, BookTick { depth, ..tick }, &self.levels);
    }
}

/// A pair's name on this stream, from its name on that of v1.
fn wsname(name: &str) -> Option<String> {
    let (base, quote) = split_at(name, '/')?;
    Some(format!("{base}/{quote}"))
}

fn snapshot_flag(head: &Head) -> u32 {
    if head.kind == Some("snapshot") { row::SNAPSHOT } else { 0 }
}

fn ticker(wire: &WireTicker, mut flags: u32, market: &mut Market) -> Result<(), DecodeError> {
    let ts_event = time("timestamp", wire.timestamp)?;
    let tick = QuoteTick {
        ts_event,
        ts_sent: None,
        bid: number("bid", wire.bid.get(), &mut flags)?,
        bid_size: number("bid_qty", wire.bid_qty.get(), &mut flags)?,
        ask: number("ask", wire.ask.get(), &mut flags)?,
        ask_size: number("ask_qty", wire.ask_qty.get(), &mut flags)?,
        seq: None,
        origin: Origin::Native,
        flags,
    };
    market.quote(wire.symbol, tick);
    Ok(())
}

fn trade(wire: &WireTrade, mut flags: u32, market: &mut Market) -> Result<(), DecodeError> {
    let tick = TradeTick {
        channel: Channel::Trade,
        ts_event: time("timestamp", wire.timestamp)?,
        ts_sent: None,
        price: number("price", wire.price.get(), &mut flags)?,
        size: number("qty", wire.qty.get(), &mut flags)?,
        side: match wire.side {
            "buy" => Some(Side::Buy),
            "sell" => Some(Side::Sell),
            _ => None,
        },
        trade_id: Some(TradeId::Number(wire.trade_id)),
        seq: Some(wire.trade_id),
        conditions: None,
        flags,
    };
    market.trade(wire.symbol, tick);
    Ok(())
}

/// An acknowledgement names channel and symbol; a refusal may name the symbol alone.
fn answer(head: &Head, market: &mut Market) {
    let result = head.result.as_ref();
    let channel = match result.and_then(|result| result.channel) {
        Some("ticker") => Some(Channel::Quote),
        Some("trade") => Some(Channel::Trade),
        Some("book") => Some(Channel::Book),
        Some(_) => return,
        None => None,
    };
    let refused = match head.success {
        Some(true) => None,
        _ => Some(head.error.clone().unwrap_or_else(|| "no reason given".into())),
    };
    let symbol = head.symbol.or_else(|| result.and_then(|result| result.symbol));
    market.notices.push(match (symbol, head.req_id, refused) {
        (Some(symbol), _, refused) => {
            Notice::Channel { channel, raw_symbol: symbol.into(), refused }
        }
        (None, Some(id), refused) => Notice::Answer { id, refused },
        (None, None, Some(reason)) => Notice::Error(reason),
        (None, None, None) => return,
    });
}

fn instrument(wire: &WirePair) -> Instrument {
    let step = |step: Option<&RawValue>, precision: f64| {
        step.and_then(|step| step.get().parse().ok()).unwrap_or_else(|| tick_of(precision))
    };
    Instrument {
        raw_symbol: wire.symbol.into(),
        base: asset(wire.base),
        quote_asset: asset(wire.quote),
        tick_size: step(wire.price_increment, wire.price_precision),
        lot_size: step(wire.qty_increment, wire.qty_precision),
        price_precision: wire.price_precision,
        size_precision: wire.qty_precision,
        trading_status: Some(wire.status.into()),
        ..Instrument::default()
    }
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, DecodeError> {
    serde_json::from_str(text).map_err(|error| json_error("kraken", text, &error))
}

fn read_data<'a, T: Deserialize<'a>>(
    frame: &str,
    data: Option<&'a RawValue>,
) -> Result<T, DecodeError> {
    match data {
        Some(data) => read(data.get()),
        None => Err(DecodeError::Json { venue: "kraken", found: frame.chars().take(80).collect() }),
    }
}

#[cfg(test)]
mod tests {
    use super::split_joined;

    #[test]
    fn only_pairs_of_two_old_assets_have_letters_before_their_names() {
        // Keys and names as AssetPairs has them.
        for (key, base, quote) in [
            ("XXBTZUSD", "BTC", "USD"),
            ("XETHXXBT", "ETH", "BTC"),
            ("ZETAUSDT", "ZETA", "USDT"),
            ("ZETAUSD", "ZETA", "USD"),
            ("XBTUSDT", "BTC", "USDT"),
        ] {
            assert_eq!(split_joined(key), Some((base.into(), quote.into())), "{key}");
        }
    }
}
