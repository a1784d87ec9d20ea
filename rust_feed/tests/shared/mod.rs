//! Sessions with scripted frames, for the tests of what venues do wrong.

// Not every test uses all of it.
#![allow(dead_code)]

use std::sync::Arc;
use std::time::Duration;

use rust_feed::buffer::Buffer;
use rust_feed::row::Rows;
use rust_feed::session::{Options, Session, Wanted};

pub const SECOND: i64 = 1_000_000_000;
pub const START: i64 = 1_700_000_000 * SECOND;
pub fn session(venue: &str, symbols: &[&str], capacity_rows: usize) -> (Session, Arc<Buffer>) {
    let buffer = Arc::new(Buffer::new(capacity_rows));
    let wanted = |symbol: &&str| Wanted { symbol: (*symbol).into(), ..Wanted::default() };
    let sources = symbols.iter().map(wanted).collect();
    let options = Options { sources, live: true, ..Options::default() };
    let session = Session::new(Arc::clone(&buffer), venue, options);
    (session.expect("a known venue"), buffer)
}

pub fn reader(venue: &str) -> (Session, Arc<Buffer>) {
    let buffer = Arc::new(Buffer::new(100_000));
    let session = Session::new(Arc::clone(&buffer), venue, Options::default());
    (session.expect("a known venue"), buffer)
}

pub fn drained(buffer: &Buffer) -> Rows {
    buffer.drain(Duration::ZERO, Duration::ZERO).map(|d| d.rows).unwrap_or_default()
}

pub fn framed(text: &str) -> Vec<u8> {
    [&[0x81, 127], &(text.len() as u64).to_be_bytes()[..], text.as_bytes()].concat()
}

pub fn kinds(rows: &Rows) -> Vec<String> {
    rows.statuses.iter().map(|status| status.kind.to_string()).collect()
}

pub fn count(rows: &Rows, kind: &str) -> usize {
    rows.statuses.iter().filter(|status| &*status.kind == kind).count()
}

pub fn coinbase(sequence: u64, kind: &str, updates: &[(&str, &str, &str)]) -> String {
    coinbase_of("BTC-USD", sequence, kind, updates)
}

pub fn coinbase_of(
    product: &str,
    sequence: u64,
    kind: &str,
    updates: &[(&str, &str, &str)],
) -> String {
    let level = |(side, price, size): &(&str, &str, &str)| {
        format!(
            r#"{{"side":"{side}","event_time":"","price_level":"{price}","new_quantity":"{size}"}}"#
        )
    };
    let updates: Vec<String> = updates.iter().map(level).collect();
    format!(
        r#"{{"channel":"l2_data","timestamp":"2026-11-30T12:00:00.0Z","sequence_num":{sequence},"events":[{{"type":"{kind}","product_id":"{product}","updates":[{}]}}]}}"#,
        updates.join(",")
    )
}

pub fn depth_update(first: u64, last: u64, bids: &[(&str, &str)]) -> String {
    let levels: Vec<String> = bids.iter().map(|(p, s)| format!(r#"["{p}","{s}"]"#)).collect();
    format!(
        r#"{{"stream":"btcusdt@depth@100ms","data":{{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":{first},"u":{last},"b":[{}],"a":[]}}}}"#,
        levels.join(",")
    )
}

pub fn trade(id: u64, ms: i64) -> String {
    format!(
        r#"{{"stream":"btcusdt@trade","data":{{"e":"trade","E":{ms},"s":"BTCUSDT","t":{id},"p":"10.0","q":"1.0","T":{ms},"m":true,"M":true}}}}"#
    )
}

pub fn book_ticker(u: u64) -> String {
    format!(
        r#"{{"stream":"btcusdt@bookTicker","data":{{"u":{u},"s":"BTCUSDT","b":"1.0","B":"1","a":"1.1","A":"1"}}}}"#
    )
}
