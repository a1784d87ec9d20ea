//! Coinbase Exchange <https://docs.cdp.coinbase.com/exchange/websocket-feed/overview>.
//!
//! `side` of a match is the MAKER's: ours is the opposite; a ticker's is the taker's, and is not used.
//! `trade_id` counts up by one per product, and heartbeats tell the last one, so lost trades can be seen.
//! `sequence` is that of the full feed: it grows with skips that are no gaps. `level2_batch`, which is
//! acknowledged as `level2_50`, has neither number nor checksum: its books cannot be proved.

use std::collections::HashMap;

use serde::Deserialize;

use super::coinbase;
use super::{
    DecodeError, Dialect, InstrumentList, Profile, json_error, number, places, take_level, time,
    unread_flag,
};
use crate::book::Levels;
use crate::fill::Missing;
use crate::market::Market;
use crate::row::{self, Side, TradeId};
use crate::subscription::{Ask, Channel, Fetch, Request};
use crate::tick::{BookTick, Instrument, Notice, QuoteTick, TradeTick};

mod rest;
mod wire;

use wire::{
    Head, WireError, WireHeartbeat, WireMatch, WireProduct, WireSnapshot, WireSubscriptions,
    WireTicker, WireUpdate,
};

const PRODUCTS_PER_REQUEST: usize = 100;

pub const PROFILE: Profile = Profile {
    name: "coinbase-exchange",
    ws_url: Some("wss://ws-feed.exchange.coinbase.com"),
    rest_url: "https://api.exchange.coinbase.com",
    instruments: InstrumentList::Rest("/products"),
    single: Some("its book changes have no number"),
    seq_scope: "symbol",
    quote_seq_grows: true,
    trade_ids_count_up: true,
    book_verifiable: false,
    open: || Box::new(CoinbaseExchange::default()),
    ..coinbase::PROFILE
};

#[derive(Default)]
struct CoinbaseExchange {
    /// The requests made: a channel's name, and its products that were not refused.
    asked: Vec<(&'static str, Vec<String>)>,
    /// The last trade of each product by its last heartbeat.
    told: HashMap<String, u64>,
    levels: Levels,
}

impl Dialect for CoinbaseExchange {
    fn subscribe(&mut self, wanted: &[(Channel, String)]) -> Vec<Request> {
        let mut products: Vec<String> = wanted.iter().map(|(_, product)| product.clone()).collect();
        products.sort_unstable();
        products.dedup();
        let mut requests = Vec::new();
        for chunk in products.chunks(PRODUCTS_PER_REQUEST) {
            requests.push(self.ask("heartbeat", chunk.to_vec(), Vec::new()));
        }
        for channel in PROFILE.channels {
            let indices: Vec<usize> =
                (0..wanted.len()).filter(|at| wanted[*at].0 == *channel).collect();
            for covers in indices.chunks(PRODUCTS_PER_REQUEST) {
                let products = covers.iter().map(|at| wanted[*at].1.clone()).collect();
                requests.push(self.ask(name(*channel), products, covers.to_vec()));
            }
        }
        requests
    }

    fn resync(&mut self, raw_symbols: &[String]) -> Vec<Ask> {
        let mut asks = Vec::new();
        for chunk in raw_symbols.chunks(PRODUCTS_PER_REQUEST) {
            for kind in ["unsubscribe", "subscribe"] {
                asks.push(Ask::Send(request(kind, name(Channel::Book), chunk)));
            }
        }
        asks
    }

    fn poll(&mut self, wanted: &[(Channel, String)]) -> Vec<Fetch> {
        rest::poll(wanted)
    }

    fn fill(&self, missing: &Missing) -> Option<Fetch> {
        Some(rest::fill(missing))
    }

    fn decode(&mut self, frame: &str, market: &mut Market) -> Result<(), DecodeError> {
        let head: Head = read(frame)?;
        match head.kind {
            "l2update" => self.update(&read(frame)?, market),
            "snapshot" => self.snapshot(&read(frame)?, market),
            "match" => trade(&read(frame)?, 0, market),
            "last_match" => trade(&read(frame)?, row::SNAPSHOT, market),
            "ticker" => ticker(&read(frame)?, market),
            "heartbeat" => {
                self.heartbeat(&read(frame)?, market);
                Ok(())
            }
            "subscriptions" => {
                acknowledge(read(frame)?, market);
                Ok(())
            }
            "error" => {
                self.refused(read(frame)?, market);
                Ok(())
            }
            _ => {
                market.ignored_frames += 1;
                Ok(())
            }
        }
    }

    fn concerns_books(&self, frame: &str) -> bool {
        let Some((_, rest)) = frame.split_once("\"type\":\"") else { return true };
        let kinds = ["l2update", "snapshot"];
        match rest.split_once('"') {
            Some((kind, _)) => kinds.contains(&kind),
            None => kinds.iter().any(|kind| kind.starts_with(rest)),
        }
    }

    fn fetched(&mut self, url: &str, body: &str, market: &mut Market) -> Result<(), DecodeError> {
        let path = url.split('?').next().unwrap_or_default();
        let (_, resource) = path.split_once("/products").unwrap_or_default();
        match resource.strip_prefix('/').and_then(|rest| rest.split_once('/')) {
            Some((product, "book")) => rest::book(product, url, body, &mut self.levels, market)?,
            Some((product, "trades")) => rest::trades(product, body, market)?,
            None if path.ends_with("/products") => {
                let products: Vec<WireProduct> = read(body)?;
                market.learn(products.into_iter().map(instrument).collect());
            }
            _ => market.ignored_frames += 1,
        }
        Ok(())
    }
}

impl CoinbaseExchange {
    fn snapshot(&mut self, wire: &WireSnapshot, market: &mut Market) -> Result<(), DecodeError> {
        self.levels.clear();
        let mut unread = None;
        for (levels, side) in
            [(&wire.bids, &mut self.levels.bids), (&wire.asks, &mut self.levels.asks)]
        {
            for wire in levels {
                take_level(wire.price, wire.size, side, &mut unread);
            }
        }
        let flags = unread_flag(unread.as_ref());
        let tick = BookTick { snapshot: true, flags, ..BookTick::default() };
        market.book(wire.product_id, tick, &self.levels);
        unread.map_or(Ok(()), Err)
    }

    fn update(&mut self, wire: &WireUpdate, market: &mut Market) -> Result<(), DecodeError> {
        self.levels.clear();
        let mut unread = None;
        for (side, price, size) in &wire.changes {
            let levels = if *side == "buy" { &mut self.levels.bids } else { &mut self.levels.asks };
            take_level(price, size, levels, &mut unread);
        }
        let flags = unread_flag(unread.as_ref());
        let tick = BookTick { ts_event: time("time", wire.time)?, flags, ..BookTick::default() };
        market.book(wire.product_id, tick, &self.levels);
        unread.map_or(Ok(()), Err)
    }

    /// Matches and heartbeats are not strictly in step: a trade is given until the next heartbeat.
    fn heartbeat(&mut self, wire: &WireHeartbeat, market: &mut Market) {
        let before = self.told.insert(wire.product_id.into(), wire.last_trade_id);
        if let Some(id) = before {
            market.trades_reached(wire.product_id, id);
        }
    }

    fn ask(&mut self, channel: &'static str, products: Vec<String>, covers: Vec<usize>) -> Request {
        let text = request("subscribe", channel, &products);
        self.asked.push((channel, products));
        Request { id: self.asked.len() as u64, text, covers }
    }

    /// A refusal names its product, if any, in words; the others of the request are refused with it.
    fn refused(&mut self, wire: WireError, market: &mut Market) {
        let reason = wire.reason.or(wire.message).unwrap_or_else(|| "no reason given".into());
        let mut named = reason.split(' ').filter_map(|word| {
            let names = |(_, asked): &(&str, Vec<String>)| asked.iter().any(|one| one == word);
            Some((self.asked.iter().position(names)?, word.to_owned()))
        });
        let Some((at, product)) = named.next() else {
            drop(named);
            return market.notices.push(Notice::Error(reason));
        };
        drop(named);
        let (channel, asked) = &mut self.asked[at];
        asked.retain(|other| *other != product);
        if !asked.is_empty() {
            market.asks.push(Ask::Send(request("subscribe", channel, asked)));
        }
        let refused = Some(reason);
        market.notices.push(Notice::Channel { channel: None, raw_symbol: product, refused });
    }
}

fn name(channel: Channel) -> &'static str {
    match channel {
        Channel::Quote => "ticker",
        Channel::Book => "level2_batch",
        _ => "matches",
    }
}

fn request(kind: &str, channel: &str, products: &[String]) -> String {
    serde_json::json!({"type": kind, "product_ids": products, "channels": [channel]}).to_string()
}

fn ticker(wire: &WireTicker, market: &mut Market) -> Result<(), DecodeError> {
    let mut flags = 0;
    let mut field = |name, text: Option<&str>| match text {
        None | Some("") => Ok(f64::NAN),
        Some(text) => number(name, text, &mut flags),
    };
    let tick = QuoteTick {
        ts_event: time("time", wire.time)?,
        bid: field("best_bid", wire.best_bid)?,
        bid_size: field("best_bid_size", wire.best_bid_size)?,
        ask: field("best_ask", wire.best_ask)?,
        ask_size: field("best_ask_size", wire.best_ask_size)?,
        seq: wire.sequence,
        ..QuoteTick::default()
    };
    market.quote(wire.product_id, QuoteTick { flags, ..tick });
    Ok(())
}

fn trade(wire: &WireMatch, flags: u32, market: &mut Market) -> Result<(), DecodeError> {
    market.trade(wire.product_id, trade_tick(wire, flags)?);
    Ok(())
}

fn trade_tick(wire: &WireMatch, mut flags: u32) -> Result<TradeTick, DecodeError> {
    let tick = TradeTick {
        channel: Channel::Trade,
        ts_event: time("time", wire.time)?,
        ts_sent: None,
        price: number("price", wire.price, &mut flags)?,
        size: number("size", wire.size, &mut flags)?,
        side: match wire.side {
            "buy" => Some(Side::Sell),
            "sell" => Some(Side::Buy),
            _ => None,
        },
        trade_id: Some(TradeId::Number(wire.trade_id)),
        seq: wire.sequence,
        conditions: None,
        flags: 0,
    };
    Ok(TradeTick { flags, ..tick })
}

/// An acknowledgement tells all that is subscribed to on this connection.
fn acknowledge(wire: WireSubscriptions, market: &mut Market) {
    for subscribed in wire.channels {
        let channel = match &*subscribed.name {
            "ticker" => Channel::Quote,
            "matches" => Channel::Trade,
            "level2_50" | "level2_batch" | "level2" => Channel::Book,
            _ => continue,
        };
        market.notices.extend(subscribed.product_ids.into_iter().map(|raw_symbol| {
            Notice::Channel { channel: Some(channel), raw_symbol, refused: None }
        }));
    }
}

fn instrument(wire: WireProduct) -> Instrument {
    let step =
        |step: &Option<String>| step.as_ref().and_then(|s| s.parse().ok()).unwrap_or(f64::NAN);
    let tick_size: f64 = step(&wire.quote_increment);
    let lot_size: f64 = step(&wire.base_increment);
    Instrument {
        price_precision: places(tick_size),
        size_precision: places(lot_size),
        tick_size,
        lot_size,
        raw_symbol: wire.id,
        base: wire.base_currency,
        quote_asset: wire.quote_currency,
        trading_status: wire.status,
        suffix: None,
        alias: None,
        source: None,
    }
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, DecodeError> {
    serde_json::from_str(text).map_err(|error| json_error("coinbase-exchange", text, &error))
}
