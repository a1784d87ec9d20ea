//! REST beside a stream: when it hands back, and what it leaves to another source.

use std::sync::Arc;
use std::time::Duration;

use rust_feed::buffer::Buffer;
use rust_feed::row::Rows;
use rust_feed::session::{Options, Session, Wanted};

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_700_000_000 * SECOND;
const BOOK_TICKER: &str = r#"{"stream":"btcusdt@bookTicker","data":{"u":1,"s":"BTCUSDT","b":"1.0","B":"1","a":"1.1","A":"1"}}"#;
const LIST: &str = r#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[]},{"symbol":"ETHUSDT","status":"TRADING","baseAsset":"ETH","quoteAsset":"USDT","filters":[]}]}"#;

fn session(wanted: Wanted) -> (Session, Arc<Buffer>) {
    let buffer = Arc::new(Buffer::new(100_000));
    let options = Options { sources: vec![wanted], live: true, ..Options::default() };
    let session = Session::new(Arc::clone(&buffer), "binance", options);
    (session.expect("a known venue"), buffer)
}

fn framed(text: &str) -> Vec<u8> {
    let size = u16::try_from(text.len()).expect("a short text");
    [&[0x81, 126], &size.to_be_bytes()[..], text.as_bytes()].concat()
}

fn drained(buffer: &Buffer) -> Rows {
    buffer.drain(Duration::ZERO, Duration::ZERO).map(|d| d.rows).unwrap_or_default()
}

fn told(rows: &Rows, kind: &str) -> usize {
    rows.statuses.iter().filter(|status| &*status.kind == kind).count()
}

#[test]
fn on_a_half_open_line_rest_stands_in_until_the_stream_brings_data() {
    let wanted = Wanted { symbol: "BTC-USDT".into(), ..Wanted::default() };
    let (mut session, buffer) = session(wanted);
    session.opened(1, START, "ws://x");
    session.receive(&framed(BOOK_TICKER), START + SECOND);
    // Silent since then, though the line is open: the supervisor asks for REST at each tick.
    for tenth in 150..200 {
        let now_ns = START + tenth * SECOND / 10;
        session.fall_back(1, now_ns, "no data");
        session.tick(now_ns);
    }
    let rows = drained(&buffer);
    assert_eq!((told(&rows, "fallback"), told(&rows, "handback")), (1, 0));
    session.receive(&framed(BOOK_TICKER), START + 20 * SECOND);
    session.tick(START + 20 * SECOND);
    let rows = drained(&buffer);
    assert_eq!((told(&rows, "fallback"), told(&rows, "handback")), (0, 1));
}

#[test]
fn a_line_is_answered_once_it_brings_data_or_an_acknowledgement_and_not_by_pings() {
    for answer in [BOOK_TICKER, r#"{"result":null,"id":1}"#] {
        let wanted = Wanted { symbol: "BTC-USDT".into(), ..Wanted::default() };
        let (mut session, _) = session(wanted);
        session.opened(1, START, "ws://x");
        // A ping and a pong.
        session.receive(&[0x89, 0, 0x8a, 0], START + SECOND);
        session.tick(START + SECOND);
        assert!(!session.is_answered());
        session.receive(&framed(answer), START + 2 * SECOND);
        assert!(session.is_answered(), "{answer}");
        session.closed(1, START + 3 * SECOND, "disconnected", "cut");
        session.opened(2, START + 4 * SECOND, "ws://x");
        assert!(!session.is_answered());
    }
}

#[test]
fn a_poll_that_brings_no_answer_is_no_source_that_is_up() {
    let wanted = Wanted { symbol: "BTC-USDT".into(), ..Wanted::default() };
    let (mut session, buffer) = session(wanted);
    session.fall_back(1, START, "REST was asked for");
    session.fetched(1, "/api/v3/exchangeInfo", LIST, START, 0);
    for second in 0..8 {
        session.tick(START + second * SECOND);
    }
    let page = "<html>Please log in</html>";
    session.fetched(1, "/api/v3/ticker/bookTicker", page, START + 8 * SECOND, 0);
    session.tick(START + 9 * SECOND);
    let rows = drained(&buffer);
    let of_symbol = rows.statuses.iter().filter(|row| row.scope == "symbol");
    let states: Vec<_> = of_symbol.map(|row| row.state).collect();
    assert_eq!(states, ["initialising", "polling", "stale", "failed"]);
}

#[test]
fn a_pattern_leaves_out_what_another_source_follows_and_says_so_once() {
    let yields_to = vec!["BTC-USDT".into()];
    let wanted = Wanted { symbol: "*-USDT".into(), yields_to, ..Wanted::default() };
    let (mut session, buffer) = session(wanted);
    session.fall_back(1, START, "REST was asked for");
    session.fetched(1, "/api/v3/exchangeInfo", LIST, START, 0);
    for second in 0..3 {
        session.tick(START + second * SECOND);
    }
    session.closed(1, START + 4 * SECOND, "stopped", "stopped on request");
    let rows = drained(&buffer);
    let raw: Vec<&str> = rows.instruments.iter().map(|row| &*row.raw_symbol).collect();
    assert_eq!(raw, ["ETHUSDT"]);
    let overlaps: Vec<_> = rows.statuses.iter().filter(|row| &*row.kind == "overlap").collect();
    assert_eq!(overlaps.len(), 1);
    assert_eq!((overlaps[0].scope, overlaps[0].count), ("feed", Some(1)));
    assert!(overlaps[0].detail.as_deref().is_some_and(|detail| detail.contains("BTCUSDT")));
    assert_eq!(told(&rows, "refused"), 0);
}
