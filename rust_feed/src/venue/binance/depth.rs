//! Binance's books: changes and best levels by stream, whole books by REST.

use super::wire::{Pair, WireDepth, WireDepthUpdate};
use super::{DecodeError, read};
use crate::book::Levels;
use crate::market::Market;
use crate::row::REST;
use crate::scan::{Scanner, epoch_ns};
use crate::tick::BookTick;
use crate::venue::{take_level, unread_flag};

/// Read a combined `depthUpdate` of exactly the documented spelling; anything else is left to serde.
#[inline]
pub(super) fn scan(frame: &str, levels: &mut Levels, market: &mut Market) -> Option<()> {
    let mut scan = Scanner::new(frame.as_bytes());
    scan.literal(b"{\"stream\":\"")?;
    scan.text()?;
    scan.literal(b"\",\"data\":{\"e\":\"depthUpdate\",\"E\":")?;
    let sent = scan.integer()?;
    scan.literal(b",\"s\":\"")?;
    let raw_symbol = scan.text()?;
    scan.literal(b"\",\"U\":")?;
    let first = scan.integer()?;
    scan.literal(b",\"u\":")?;
    let last = scan.integer()?;
    levels.clear();
    scan.literal(b",\"b\":")?;
    scan.levels(&mut levels.bids)?;
    scan.literal(b",\"a\":")?;
    scan.levels(&mut levels.asks)?;
    scan.literal(b"}}")?;
    if !scan.rest().is_empty() {
        return None;
    }
    market.book(raw_symbol, change(sent, first, last), levels);
    Some(())
}

pub(super) fn update(
    data: &str,
    levels: &mut Levels,
    market: &mut Market,
) -> Result<(), DecodeError> {
    let wire: WireDepthUpdate = read(data)?;
    let unread = fill(levels, &wire.b, &wire.a);
    let flags = unread_flag(unread.as_ref());
    market.book(wire.s, BookTick { flags, ..change(wire.event, wire.first, wire.u) }, levels);
    unread.map_or(Ok(()), Err)
}

/// The best levels; the symbol stands in the stream's name alone.
pub(super) fn partial(
    stream: &str,
    data: &str,
    levels: &mut Levels,
    market: &mut Market,
) -> Result<(), DecodeError> {
    let Some((symbol, _)) = stream.split_once("@depth") else {
        market.ignored_frames += 1;
        return Ok(());
    };
    let wire: WireDepth = read(data)?;
    let unread = fill(levels, &wire.bids, &wire.asks);
    let (seq, flags) = (Some(wire.last_update_id), unread_flag(unread.as_ref()));
    let tick = BookTick { snapshot: true, seq, flags, ..BookTick::default() };
    market.book(&symbol.to_ascii_uppercase(), tick, levels);
    unread.map_or(Ok(()), Err)
}

/// A whole book; without a symbol it belongs to the one instrument that waits for one.
pub(super) fn snapshot(
    raw_symbol: Option<&str>,
    body: &str,
    levels: &mut Levels,
    market: &mut Market,
) -> Result<(), DecodeError> {
    let Some(raw_symbol) =
        raw_symbol.or_else(|| market.sole_awaiting_snapshot()).map(str::to_owned)
    else {
        market.ignored_frames += 1;
        return Ok(());
    };
    let wire: WireDepth = read(body)?;
    let unread = fill(levels, &wire.bids, &wire.asks);
    let (seq, flags) = (Some(wire.last_update_id), REST | unread_flag(unread.as_ref()));
    let tick = BookTick { snapshot: true, seq, flags, ..BookTick::default() };
    market.book(&raw_symbol, tick, levels);
    unread.map_or(Ok(()), Err)
}

fn change(sent: u64, first: u64, last: u64) -> BookTick {
    BookTick {
        ts_sent: epoch_ns(sent),
        seq_first: Some(first),
        seq: Some(last),
        ..BookTick::default()
    }
}

/// Read the levels of both sides; returns what is wrong with the first that cannot be read.
fn fill(levels: &mut Levels, bids: &[Pair], asks: &[Pair]) -> Option<DecodeError> {
    let mut unread = None;
    levels.clear();
    for (pairs, side) in [(bids, &mut levels.bids), (asks, &mut levels.asks)] {
        for Pair(price, size) in pairs {
            take_level(price, size, side, &mut unread);
        }
    }
    unread
}
