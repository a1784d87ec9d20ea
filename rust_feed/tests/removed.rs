//! Removed sources: the last rows of a session tell them from those that were only stopped.

use std::sync::Arc;
use std::time::Duration;

use rust_feed::buffer::Buffer;
use rust_feed::row::Name;
use rust_feed::session::{Options, Session, Wanted};

const LIST: &str = r#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[]},{"symbol":"ETHUSDT","status":"TRADING","baseAsset":"ETH","quoteAsset":"USDT","filters":[]},{"symbol":"SOLUSDT","status":"TRADING","baseAsset":"SOL","quoteAsset":"USDT","filters":[]}]}"#;

/// The last state of each symbol, and why, after a session that followed `sources` was closed.
fn ends(sources: &[&str], kept: Option<&[&str]>) -> Vec<(String, String)> {
    let buffer = Arc::new(Buffer::new(1_000));
    let wanted = |symbol: &&str| Wanted { symbol: (*symbol).into(), channels: Vec::new() };
    let sources = sources.iter().map(wanted).collect();
    let options = Options { sources, live: true, ..Options::default() };
    let mut session = Session::new(Arc::clone(&buffer), "binance", options).expect("a venue");
    session.fetched(1, "/api/v3/exchangeInfo", LIST, 1, 0);
    session.opened(1, 2, "ws://x");
    if let Some(kept) = kept {
        session.keep(kept.iter().map(|symbol| (*symbol).to_owned()).collect());
    }
    session.closed(1, 3, "stopped", "stopped on request");
    let drained = buffer.drain(Duration::ZERO, Duration::ZERO).expect("rows");
    let (rows, names) = (drained.rows, drained.names);
    let name = |symbol: Option<Name>| names[symbol.expect("a symbol").0 as usize].to_string();
    let last = rows.statuses.iter().filter(|row| row.scope == "symbol" && row.state == "stopped");
    let mut ends: Vec<_> = last
        .map(|row| (name(row.header.symbol), row.detail.as_deref().unwrap_or_default().to_owned()))
        .collect();
    ends.sort();
    ends
}

#[test]
fn what_is_removed_says_so_and_what_goes_on_does_not() {
    let (stopped, removed) = ("stopped on request", "removed on request");
    let told = |ends: Vec<(String, String)>, expected: &[(&str, &str)]| {
        let ends: Vec<_> = ends.iter().map(|(name, why)| (name.as_str(), why.as_str())).collect();
        assert_eq!(ends, expected);
    };
    let both = ["BTC-USDT", "ETH-USDT"];
    told(ends(&both, None), &[("BTC-USDT", stopped), ("ETH-USDT", stopped)]);
    told(ends(&both, Some(&["BTC-USDT"])), &[("BTC-USDT", stopped), ("ETH-USDT", removed)]);
    told(
        ends(&["*-USDT"], Some(&["S*-USDT"])),
        &[("BTC-USDT", removed), ("ETH-USDT", removed), ("SOL-USDT", stopped)],
    );
    // One that the venue does not have never had a name of its venue.
    let unknown = ["BTC-USDT", "DOGE-USDT"];
    told(ends(&unknown, Some(&["BTC-USDT"])), &[("BTC-USDT", stopped), ("DOGE-USDT", removed)]);
}
