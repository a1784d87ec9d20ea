//! Coinbase Advanced Trade <https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-overview>.
//!
//! `sequence_num` counts every frame of the connection, acknowledgements and heartbeats too, so it is
//! judged before dispatch, and it alone makes gaps. `side` of `market_trades` is the MAKER's: ours is the opposite.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    DecodeError, Dialect, InstrumentList, Profile, json_error, number, places, split_at, take_each,
    take_level, time, unread_flag,
};
use crate::book::Levels;
use crate::fill::Missing;
use crate::market::Market;
use crate::quality::{Contiguous, Verdict};
use crate::row::{self, Origin, Side, TradeId};
use crate::scan::rfc3339_ns;
use crate::subscription::{Ask, Channel, Fetch, Request};
use crate::tick::{BookTick, Instrument, Notice, QuoteTick, TradeTick};

pub(super) mod rest;
mod scan;
mod wire;

use wire::{
    BookEvent, Head, Products, SubscriptionEvent, TickerEvent, TradeEvent, WireProduct, WireTrade,
};

const PRODUCTS_PER_REQUEST: usize = 100;

pub const PROFILE: Profile = Profile {
    name: "coinbase",
    ws_url: Some("wss://advanced-trade-ws.coinbase.com"),
    ws_path: "/",
    rest_url: "https://api.coinbase.com",
    rest_headers: &[],
    instruments: InstrumentList::Rest("/api/v3/brokerage/market/products"),
    channels: &[Channel::Quote, Channel::Trade, Channel::Book],
    default_channels: &[Channel::Quote, Channel::Trade, Channel::Book],
    streams_per_connection: 300,
    life_s: None,
    sends_per_second: 6,
    fetches_per_second: 5,
    poll_ms: 1000,
    key: None,
    closes: false,
    single: Some("each connection numbers its messages for itself"),
    ping: None,
    seq_scope: "connection",
    quote_seq_grows: false,
    trade_ids_count_up: false,
    book_ranges: false,
    book_truncates: false,
    book_verifiable: true,
    // Its ticker moves with trades only.
    book_quotes: true,
    split: |raw| split_at(raw, '-'),
    spell: |base, quote| format!("{base}-{quote}"),
    open: || Box::new(Coinbase::default()),
};

#[derive(Default)]
struct Coinbase {
    sequence: Contiguous,
    levels: Levels,
}

impl Dialect for Coinbase {
    fn subscribe(&mut self, wanted: &[(Channel, String)]) -> Vec<Request> {
        let heartbeats = r#"{"type":"subscribe","channel":"heartbeats"}"#;
        let mut requests = vec![Request { id: 0, text: heartbeats.into(), covers: Vec::new() }];
        for channel in PROFILE.channels {
            let indices: Vec<usize> =
                (0..wanted.len()).filter(|at| wanted[*at].0 == *channel).collect();
            for covers in indices.chunks(PRODUCTS_PER_REQUEST) {
                let products: Vec<&str> = covers.iter().map(|at| wanted[*at].1.as_str()).collect();
                let text = request("subscribe", *channel, &products);
                let id = requests.len() as u64;
                requests.push(Request { id, text, covers: covers.to_vec() });
            }
        }
        requests
    }

    fn resync(&mut self, raw_symbols: &[String]) -> Vec<Ask> {
        let products: Vec<&str> = raw_symbols.iter().map(String::as_str).collect();
        let mut asks = Vec::new();
        for chunk in products.chunks(PRODUCTS_PER_REQUEST) {
            for kind in ["unsubscribe", "subscribe"] {
                asks.push(Ask::Send(request(kind, Channel::Book, chunk)));
            }
        }
        asks
    }

    fn concerns_books(&self, frame: &str) -> bool {
        let others = ["ticker", "market_trades", "subscriptions", "heartbeats"];
        !others.iter().any(|name| frame.contains(&format!("\"channel\":\"{name}\"")))
    }

    fn decode(&mut self, frame: &str, market: &mut Market) -> Result<(), DecodeError> {
        if let Some(found) = scan::level2(frame, &mut self.levels) {
            let ts_sent = time("timestamp", Some(found.timestamp))?;
            let flags = self.judge(found.sequence, market);
            let sent = Envelope { ts_sent, seq: Some(found.sequence), flags };
            self.push_book(found.product_id, found.is_snapshot, &sent, market);
            return Ok(());
        }
        let head: Head = read(frame)?;
        let flags = head.sequence_num.map_or(0, |sequence| self.judge(sequence, market));
        if head.kind == Some("error") {
            market
                .notices
                .push(Notice::Error(head.message.unwrap_or_else(|| "no reason given".into())));
            return Ok(());
        }
        let sent =
            Envelope { ts_sent: time("timestamp", head.timestamp)?, seq: head.sequence_num, flags };
        match head.channel {
            Some("ticker") => {
                let events: Vec<TickerEvent> = read_events(frame, head.events)?;
                take_each(&events, |event| tickers(event, &sent, market))
            }
            Some("market_trades") => {
                let events: Vec<TradeEvent> = read_events(frame, head.events)?;
                take_each(&events, |event| trades(event, &sent, market))
            }
            Some("l2_data") => {
                let events: Vec<BookEvent> = read_events(frame, head.events)?;
                take_each(&events, |event| self.book(event, &sent, market))
            }
            Some("subscriptions") => {
                let events: Vec<SubscriptionEvent> = read_events(frame, head.events)?;
                for event in &events {
                    acknowledge(event, market);
                }
                Ok(())
            }
            Some("heartbeats") => Ok(()),
            Some(_) => {
                market.ignored_frames += 1;
                Ok(())
            }
            None => Err(DecodeError::Json {
                venue: "coinbase",
                found: frame.chars().take(80).collect(),
            }),
        }
    }

    fn fetched(&mut self, url: &str, body: &str, market: &mut Market) -> Result<(), DecodeError> {
        let path = url.split('?').next().unwrap_or_default();
        if path.ends_with("/market/products") {
            let list: Products = read(body)?;
            market.learn(list.products.into_iter().filter_map(instrument).collect());
        } else if path.ends_with("/product_book") {
            rest::book(url, body, &mut self.levels, market)?;
        } else if path.ends_with("/ticker") {
            rest::trades(body, market)?;
        } else {
            market.ignored_frames += 1;
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

/// What the envelope says for all that it holds.
struct Envelope {
    ts_sent: Option<i64>,
    seq: Option<u64>,
    flags: u32,
}

impl Coinbase {
    /// The levels' own times run back and forth: the envelope's counts.
    fn book(
        &mut self,
        event: &BookEvent,
        sent: &Envelope,
        market: &mut Market,
    ) -> Result<(), DecodeError> {
        self.levels.clear();
        let mut unread = None;
        for wire in &event.updates {
            let is_bid = wire.side == "bid";
            let side = if is_bid { &mut self.levels.bids } else { &mut self.levels.asks };
            take_level(wire.price_level, wire.new_quantity, side, &mut unread);
        }
        let sent = Envelope { flags: sent.flags | unread_flag(unread.as_ref()), ..*sent };
        self.push_book(event.product_id, event.kind == Some("snapshot"), &sent, market);
        unread.map_or(Ok(()), Err)
    }

    fn push_book(&self, product_id: &str, snapshot: bool, sent: &Envelope, market: &mut Market) {
        let tick = BookTick {
            snapshot,
            ts_sent: sent.ts_sent,
            seq: sent.seq,
            flags: sent.flags,
            ..BookTick::default()
        };
        market.book(product_id, tick, &self.levels);
    }

    /// Judge the number that counts every message of the connection; returns the flags it earns.
    fn judge(&mut self, sequence: u64, market: &mut Market) -> u32 {
        // A connection's first message has number 0.
        let is_first = sequence == 0 && self.sequence.next() > Some(1);
        let verdict = if is_first || self.sequence.is_far_below(sequence) {
            self.sequence.restart(sequence)
        } else {
            self.sequence.judge(sequence)
        };
        market.connection_sequence(verdict, sequence);
        match verdict {
            Verdict::Duplicate => row::DUPLICATE,
            Verdict::Late => row::LATE,
            _ => 0,
        }
    }
}

fn request(kind: &str, channel: Channel, products: &[&str]) -> String {
    let channel = match channel {
        Channel::Quote => "ticker",
        Channel::Book => "level2",
        _ => "market_trades",
    };
    serde_json::json!({"type": kind, "product_ids": products, "channel": channel}).to_string()
}

fn tickers(event: &TickerEvent, sent: &Envelope, market: &mut Market) -> Result<(), DecodeError> {
    for wire in &event.tickers {
        let mut flags = sent.flags | snapshot_flag(event.kind);
        let mut field = |name, text: Option<&str>| match text {
            None | Some("") => Ok(f64::NAN),
            Some(text) => number(name, text, &mut flags),
        };
        let tick = QuoteTick {
            ts_event: None,
            ts_sent: sent.ts_sent,
            bid: field("best_bid", wire.best_bid)?,
            bid_size: field("best_bid_quantity", wire.best_bid_quantity)?,
            ask: field("best_ask", wire.best_ask)?,
            ask_size: field("best_ask_quantity", wire.best_ask_quantity)?,
            seq: sent.seq,
            origin: Origin::Native,
            flags,
        };
        market.quote(wire.product_id, tick);
    }
    Ok(())
}

fn trades(event: &TradeEvent, sent: &Envelope, market: &mut Market) -> Result<(), DecodeError> {
    let flags = sent.flags | snapshot_flag(event.kind);
    let mut happened: Vec<&WireTrade> = event.trades.iter().collect();
    let at = |wire: &&WireTrade| wire.time.and_then(rfc3339_ns);
    // The venue lists the newest first; of several at one time the last one happened first.
    if happened.first().map(at) >= happened.last().map(at) {
        happened.reverse();
    }
    happened.sort_by_key(at);
    take_each(&happened, |wire| push_trade(wire, sent.ts_sent, sent.seq, flags, false, market))
}

fn push_trade(
    wire: &WireTrade,
    ts_sent: Option<i64>,
    seq: Option<u64>,
    mut flags: u32,
    polled: bool,
    market: &mut Market,
) -> Result<(), DecodeError> {
    let tick = TradeTick {
        channel: Channel::Trade,
        ts_event: time("time", wire.time)?,
        ts_sent,
        price: number("price", wire.price, &mut flags)?,
        size: number("size", wire.size, &mut flags)?,
        side: match wire.side {
            "BUY" => Some(Side::Sell),
            "SELL" => Some(Side::Buy),
            _ => None,
        },
        trade_id: Some(trade_id(wire.trade_id)),
        seq,
        conditions: None,
        flags,
    };
    if polled {
        market.polled_trade(wire.product_id, tick);
    } else {
        market.trade(wire.product_id, tick);
    }
    Ok(())
}

/// Keep an id as a number only if its text can be had back from it.
fn trade_id(text: &str) -> TradeId {
    match text.parse::<u64>() {
        Ok(number) if !text.starts_with('+') && (text.len() == 1 || !text.starts_with('0')) => {
            TradeId::Number(number)
        }
        _ => TradeId::Text(text.into()),
    }
}

/// An acknowledgement tells all that is subscribed to on this connection.
fn acknowledge(event: &SubscriptionEvent, market: &mut Market) {
    let lists = [
        (Channel::Quote, &event.subscriptions.ticker),
        (Channel::Trade, &event.subscriptions.market_trades),
        (Channel::Book, &event.subscriptions.level2),
    ];
    for (channel, products) in lists {
        for product in products.iter().flatten() {
            let (channel, raw_symbol) = (Some(channel), product.clone());
            market.notices.push(Notice::Channel { channel, raw_symbol, refused: None });
        }
    }
}

fn snapshot_flag(kind: Option<&str>) -> u32 {
    if kind == Some("snapshot") { row::SNAPSHOT } else { 0 }
}

fn instrument(wire: WireProduct) -> Option<Instrument> {
    let (base, quote_asset) = split_at(&wire.product_id, '-')?;
    let step =
        |step: &Option<String>| step.as_ref().and_then(|s| s.parse().ok()).unwrap_or(f64::NAN);
    let tick_size: f64 = step(&wire.price_increment.or(wire.quote_increment));
    let lot_size: f64 = step(&wire.base_increment);
    Some(Instrument {
        price_precision: places(tick_size),
        size_precision: places(lot_size),
        tick_size,
        lot_size,
        raw_symbol: wire.product_id,
        base,
        quote_asset,
        trading_status: wire.status,
        alias: wire.alias.filter(|alias| !alias.is_empty()),
        ..Instrument::default()
    })
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, DecodeError> {
    serde_json::from_str(text).map_err(|error| json_error("coinbase", text, &error))
}

fn read_events<'a, T: Deserialize<'a>>(
    frame: &str,
    events: Option<&'a RawValue>,
) -> Result<T, DecodeError> {
    match events {
        Some(events) => read(events.get()),
        None => {
            Err(DecodeError::Json { venue: "coinbase", found: frame.chars().take(80).collect() })
        }
    }
}
