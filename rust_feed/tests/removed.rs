//! Removed sources: the last rows of a session tell them from those that were only stopped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rust_feed::buffer::Buffer;
use rust_feed::row::Name;
use rust_feed::session::{Options, Session, Wanted};

const LIST: &str = r#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[]},{"symbol":"ETHUSDT","status":"TRADING","baseAsset":"ETH","quoteAsset":"USDT","filters":[]},{"symbol":"SOLUSDT","status":"TRADING","baseAsset":"SOL","quoteAsset":"USDT","filters":[]}]}"#;

const STOPPED: &str = "stopped on request";
const REMOVED: &str = "removed on request";

/// A session, and the buffer that it writes into.
fn connected(sources: &[&str]) -> (Session, Arc<Buffer>) {
    let buffer = Arc::new(Buffer::new(1_000));
    let wanted = |symbol: &&str| Wanted { symbol: (*symbol).into(), ..Wanted::default() };
    let sources = sources.iter().map(wanted).collect();
    let options = Options { sources, live: true, ..Options::default() };
    let mut session = Session::new(Arc::clone(&buffer), "binance", options).expect("a venue");
    session.fetched(1, "/api/v3/exchangeInfo", LIST, 1, 0);
    session.opened(1, 2, "ws://x");
    (session, buffer)
}

fn keep(session: &mut Session, symbols: &[&str], goes_on: bool) {
    session.keep(symbols.iter().map(|symbol| (*symbol).to_owned()).collect(), goes_on);
}

/// The last state of each symbol in the rows since the last look, and why.
fn last(buffer: &Buffer) -> Vec<(String, String, String)> {
    let drained = buffer.drain(Duration::ZERO, Duration::ZERO).expect("rows");
    let (rows, names) = (drained.rows, drained.names);
    let name = |symbol: Option<Name>| names[symbol.expect("a symbol").0 as usize].to_string();
    let mut last = BTreeMap::new();
    for row in rows.statuses.iter().filter(|row| row.scope == "symbol") {
        let detail = row.detail.as_deref().unwrap_or_default().to_owned();
        last.insert(name(row.header.symbol), (row.state.to_owned(), detail));
    }
    last.into_iter().map(|(symbol, (state, why))| (symbol, state, why)).collect()
}

fn assert_last(buffer: &Buffer, expected: &[(&str, &str, &str)]) {
    let found = last(buffer);
    let found: Vec<_> = found.iter().map(|(a, b, c)| (&**a, &**b, &**c)).collect();
    assert_eq!(found, expected);
}

/// What the rows say at last of a session that is stopped when only `kept` are still followed.
fn ends(sources: &[&str], kept: Option<&[&str]>, expected: &[(&str, &str, &str)]) {
    let (mut session, buffer) = connected(sources);
    if let Some(kept) = kept {
        keep(&mut session, kept, false);
    }
    session.closed(1, 3, "stopped", STOPPED);
    assert_last(&buffer, expected);
}

#[test]
fn what_is_removed_says_so_and_what_is_only_stopped_does_not() {
    let (btc, eth) = (("BTC-USDT", "stopped", STOPPED), ("ETH-USDT", "stopped", REMOVED));
    let both = ["BTC-USDT", "ETH-USDT"];
    ends(&both, None, &[btc, ("ETH-USDT", "stopped", STOPPED)]);
    ends(&both, Some(&["BTC-USDT"]), &[btc, eth]);
    ends(
        &["*-USDT"],
        Some(&["S*-USDT"]),
        &[("BTC-USDT", "stopped", REMOVED), eth, ("SOL-USDT", "stopped", STOPPED)],
    );
    // One that the venue does not have never had a name of its venue.
    let unknown = ["BTC-USDT", "DOGE-USDT"];
    ends(&unknown, Some(&["BTC-USDT"]), &[btc, ("DOGE-USDT", "stopped", REMOVED)]);
}

#[test]
fn what_another_session_connects_to_is_initialising() {
    let (mut session, buffer) = connected(&["BTC-USDT", "ETH-USDT"]);
    keep(&mut session, &["BTC-USDT"], true);
    session.closed(1, 3, "stopped", STOPPED);
    assert_last(&buffer, &[("BTC-USDT", "initialising", ""), ("ETH-USDT", "stopped", REMOVED)]);
}

#[test]
fn what_was_stopped_is_initialising_once_it_is_started_again() {
    let (mut session, buffer) = connected(&["BTC-USDT", "ETH-USDT"]);
    session.closed(1, 3, "stopped", STOPPED);
    keep(&mut session, &["BTC-USDT"], false);
    session.closed(1, 4, "stopped", STOPPED);
    assert_last(&buffer, &[("BTC-USDT", "stopped", STOPPED), ("ETH-USDT", "stopped", REMOVED)]);
    session.go_on(5);
    assert_last(&buffer, &[("BTC-USDT", "initialising", "")]);
}

#[test]
fn a_line_that_fails_while_it_is_left_does_not_hide_what_is_removed() {
    let (mut session, buffer) = connected(&["BTC-USDT", "ETH-USDT"]);
    keep(&mut session, &["BTC-USDT"], true);
    session.closed(1, 3, "disconnected", "reset by peer");
    assert_last(
        &buffer,
        &[("BTC-USDT", "failed", "reset by peer"), ("ETH-USDT", "failed", "reset by peer")],
    );
    session.closed(1, 4, "stopped", STOPPED);
    assert_last(&buffer, &[("BTC-USDT", "initialising", ""), ("ETH-USDT", "stopped", REMOVED)]);
}
