//! Binance's books: changes and best levels by stream, whole books by REST.

use super::wire::{Pair, WireDepth, WireDepthUpdate};
use super::{DecodeError, read};
use crate::book::{Level, Levels};
use crate::market::Market;
use crate::row::REST;
use crate::scan::{Scanner, epoch_ns};
use crate::tick::BookTick;
use crate::venue::level;

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
    fill(levels, &wire.b, &wire.a)?;
    market.book(wire.s, change(wire.event, wire.first, wire.u), levels);
    Ok(())
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
    fill(levels, &wire.bids, &wire.asks)?;
    let tick = BookTick { snapshot: true, seq: Some(wire.last_update_id), ..BookTick::default() };
    market.book(&symbol.to_ascii_uppercase(), tick, levels);
    Ok(())
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
    fill(levels, &wire.bids, &wire.asks)?;
    let seq = Some(wire.last_update_id);
    let tick = BookTick { snapshot: true, seq, flags: REST, ..BookTick::default() };
    market.book(&raw_symbol, tick, levels);
    Ok(())
}

fn change(sent: u64, first: u64, last: u64) -> BookTick {
    BookTick {
        ts_sent: epoch_ns(sent),
        seq_first: Some(first),
        seq: Some(last),
        ..BookTick::default()
    }
}

fn fill(levels: &mut Levels, bids: &[Pair], asks: &[Pair]) -> Result<(), DecodeError> {
    let read = |pairs: &[Pair]| -> Result<Vec<Level>, DecodeError> {
        pairs.iter().map(|Pair(price, size)| level(price, size)).collect()
    };
    *levels = Levels { bids: read(bids)?, asks: read(asks)? };
    Ok(())
}
