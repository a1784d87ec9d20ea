//! Kraken spot, WebSocket v1 <https://docs.kraken.com/api/docs/websocket-v1/spread>: frozen, still served.
//!
//! Data are arrays that end with the names of channel and pair; numbers and epoch seconds are strings.
//! `side` is the taker's; trades have no id. Quotes come as `spread`, which carries its own time; `ticker`
//! is read too. A book's checksum is over the digits as they stand in the frame, which has more decimals
//! than the instrument; levels beyond the depth are dropped without a word.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::kraken::{self, rest};
use super::{
    DecodeError, Dialect, InstrumentList, Profile, json_error, names_kind, number, take_each,
    take_level, unread_flag,
};
use crate::book::Levels;
use crate::market::Market;
use crate::subscription::{Ask, Channel, Fetch, Request};
use crate::tick::{BookTick, Notice, QuoteTick, TradeTick};

mod wire;

use wire::{Event, WireBook, WireSpread, WireTrade};

const PAIRS_PER_REQUEST: usize = 100;
/// The smallest depth that fills a `depth` row; the checksum covers the ten best levels.
const BOOK_DEPTH: usize = 25;

pub const PROFILE: Profile = Profile {
    name: "kraken-v1",
    ws_path: "/",
    instruments: InstrumentList::Rest("/0/public/AssetPairs"),
    single: Some("its quotes and trades have no number"),
    ping: Some(r#"{"event":"ping"}"#),
    spell: |base, quote| format!("{}/{}", old_name(base), old_name(quote)),
    open: || Box::new(KrakenV1::default()),
    ..kraken::PROFILE
};

/// What v1 calls an asset.
fn old_name(asset: &str) -> &str {
    match asset {
        "BTC" => "XBT",
        "DOGE" => "XDG",
        other => other,
    }
}

#[derive(Default)]
struct KrakenV1 {
    last_id: u64,
    levels: Levels,
}

impl Dialect for KrakenV1 {
    fn subscribe(&mut self, wanted: &[(Channel, String)]) -> Vec<Request> {
        let mut requests = Vec::new();
        for channel in PROFILE.channels {
            let indices: Vec<usize> =
                (0..wanted.len()).filter(|at| wanted[*at].0 == *channel).collect();
            for covers in indices.chunks(PAIRS_PER_REQUEST) {
                let pairs: Vec<&str> = covers.iter().map(|at| wanted[*at].1.as_str()).collect();
                let text = self.request("subscribe", *channel, &pairs);
                requests.push(Request { id: self.last_id, text, covers: covers.to_vec() });
            }
        }
        requests
    }

    fn resync(&mut self, raw_symbols: &[String]) -> Vec<Ask> {
        let pairs: Vec<&str> = raw_symbols.iter().map(String::as_str).collect();
        let mut asks = Vec::new();
        for chunk in pairs.chunks(PAIRS_PER_REQUEST) {
            for event in ["unsubscribe", "subscribe"] {
                asks.push(Ask::Send(self.request(event, Channel::Book, chunk)));
            }
        }
        asks
    }

    fn poll(&mut self, wanted: &[(Channel, String)]) -> Vec<Fetch> {
        rest::poll(wanted)
    }

    fn concerns_books(&self, frame: &str) -> bool {
        let others = ["\"trade\"", "\"spread\"", "\"ticker\"", "\"event\""];
        frame.contains("\"book-") || !names_kind(frame, &others)
    }

    fn decode(&mut self, frame: &str, market: &mut Market) -> Result<(), DecodeError> {
        if !frame.starts_with('[') {
            event(&read(frame)?, market);
            return Ok(());
        }
        let parts: Vec<&RawValue> = read(frame)?;
        let [_, payloads @ .., channel, pair] = &parts[..] else { return Err(unexpected(frame)) };
        let (Some(channel), Some(pair)) = (text(channel), text(pair)) else {
            return Err(unexpected(frame));
        };
        match (channel, payloads) {
            ("trade", [payload]) => {
                let trades: Vec<WireTrade> = read(payload.get())?;
                take_each(&trades, |wire| trade(pair, wire, market))
            }
            ("spread", [payload]) => spread(pair, &read(payload.get())?, market),
            ("ticker", [payload]) => {
                market.quote(pair, rest::ticker(&read(payload.get())?)?);
                Ok(())
            }
            ("trade" | "spread" | "ticker", _) => Err(unexpected(frame)),
            _ => match channel.strip_prefix("book-").map(str::parse) {
                Some(Ok(depth)) => self.book(pair, depth, payloads, market),
                Some(Err(_)) => Err(unexpected(frame)),
                None => {
                    market.ignored_frames += 1;
                    Ok(())
                }
            },
        }
    }

    fn fetched(&mut self, url: &str, body: &str, market: &mut Market) -> Result<(), DecodeError> {
        rest::fetched(url, body, |name| Some(name.to_owned()), &mut self.levels, market)
    }
}

impl KrakenV1 {
    fn request(&mut self, event: &str, channel: Channel, pairs: &[&str]) -> String {
        self.last_id += 1;
        let subscription = match channel {
            Channel::Quote => serde_json::json!({"name": "spread"}),
            Channel::Book => serde_json::json!({"name": "book", "depth": BOOK_DEPTH}),
            _ => serde_json::json!({"name": "trade"}),
        };
        let id = self.last_id;
        serde_json::json!({"event": event, "reqid": id, "pair": pairs, "subscription": subscription})
            .to_string()
    }

    /// Read a message of levels: both sides in one map, or each in its own, the checksum in the last.
    fn book(
        &mut self,
        pair: &str,
        depth: usize,
        payloads: &[&RawValue],
        market: &mut Market,
    ) -> Result<(), DecodeError> {
        self.levels.clear();
        let mut unread = None;
        let mut tick = BookTick { depth: Some(depth), as_written: true, ..BookTick::default() };
        for payload in payloads {
            let wire: WireBook = read(payload.get())?;
            tick.snapshot |= wire.all_bids.is_some() || wire.all_asks.is_some();
            let sides = [
                (wire.all_bids.iter().chain(&wire.bids), &mut self.levels.bids),
                (wire.all_asks.iter().chain(&wire.asks), &mut self.levels.asks),
            ];
            for (levels, side) in sides {
                for wire in levels.flatten() {
                    take_level(wire.price, wire.size, side, &mut unread);
                    tick.ts_event = tick.ts_event.max(rest::seconds(wire.time)?);
                }
            }
            if let Some(checksum) = wire.checksum {
                tick.checksum = Some(checksum.parse().map_err(|_| DecodeError::Number {
                    field: "c",
                    found: checksum.chars().take(40).collect(),
                })?);
            }
        }
        tick.flags = unread_flag(unread.as_ref());
        market.book(pair, tick, &self.levels);
        unread.map_or(Ok(()), Err)
    }
}

fn spread(pair: &str, wire: &WireSpread, market: &mut Market) -> Result<(), DecodeError> {
    let WireSpread(bid, ask, time, bid_size, ask_size) = wire;
    let mut flags = 0;
    let tick = QuoteTick {
        ts_event: rest::seconds(time)?,
        bid: number("bid", bid, &mut flags)?,
        bid_size: number("bidVol", bid_size, &mut flags)?,
        ask: number("ask", ask, &mut flags)?,
        ask_size: number("askVol", ask_size, &mut flags)?,
        ..QuoteTick::default()
    };
    market.quote(pair, QuoteTick { flags, ..tick });
    Ok(())
}

fn trade(pair: &str, wire: &WireTrade, market: &mut Market) -> Result<(), DecodeError> {
    let WireTrade(price, volume, time, side, _, _) = wire;
    let mut flags = 0;
    let tick = TradeTick {
        channel: Channel::Trade,
        ts_event: rest::seconds(time)?,
        ts_sent: None,
        price: number("price", price, &mut flags)?,
        size: number("volume", volume, &mut flags)?,
        side: rest::taker(side),
        trade_id: None,
        seq: None,
        conditions: None,
        flags,
    };
    market.trade(pair, tick);
    Ok(())
}

fn event(event: &Event, market: &mut Market) {
    match event.event {
        "subscriptionStatus" => market.notices.extend(answer(event)),
        "systemStatus" => {
            market.notices.extend(event.status.map(|status| Notice::System(status.into())));
        }
        "error" => market.notices.push(Notice::Error(reason(event))),
        "heartbeat" | "pong" => {}
        _ => market.ignored_frames += 1,
    }
}

/// An acknowledgement names channel and pair; a refusal may lack the pair.
fn answer(event: &Event) -> Option<Notice> {
    let refused = match event.status {
        Some("subscribed") => None,
        Some("error") => Some(reason(event)),
        _ => return None,
    };
    let channel = match event.subscription.as_ref().and_then(|subscription| subscription.name) {
        Some("spread" | "ticker") => Some(Channel::Quote),
        Some("trade") => Some(Channel::Trade),
        Some("book") => Some(Channel::Book),
        _ => None,
    };
    match (event.pair, event.reqid, refused) {
        (Some(pair), _, refused) => {
            Some(Notice::Channel { channel, raw_symbol: pair.into(), refused })
        }
        (None, Some(id), refused) => Some(Notice::Answer { id, refused }),
        (None, None, refused) => refused.map(Notice::Error),
    }
}

fn reason(event: &Event) -> String {
    event.error_message.clone().unwrap_or_else(|| "no reason given".into())
}

/// The text of a JSON string without escapes, such as the name of a channel or pair.
fn text(value: &RawValue) -> Option<&str> {
    let text = value.get().strip_prefix('"')?.strip_suffix('"')?;
    (!text.contains('\\')).then_some(text)
}

fn unexpected(frame: &str) -> DecodeError {
    DecodeError::Json { venue: "kraken-v1", found: frame.chars().take(80).collect() }
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, DecodeError> {
    serde_json::from_str(text).map_err(|error| json_error("kraken-v1", text, &error))
}
