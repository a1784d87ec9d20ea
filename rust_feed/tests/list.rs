//! A session without its venue's instrument list: asked for again until it is there, then followed.

use std::sync::Arc;
use std::time::Duration;

use rust_feed::buffer::Buffer;
use rust_feed::row::{Name, Rows};
use rust_feed::session::{Action, Options, Session, Wanted};
use rust_feed::subscription::Fetch;

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_700_000_000 * SECOND;
const PATH: &str = "/api/v3/exchangeInfo";
const LIST: &str = r#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[]},{"symbol":"ETHUSDT","status":"TRADING","baseAsset":"ETH","quoteAsset":"USDT","filters":[]}]}"#;
const PREFIX: &str = "binance's instrument list could not be fetched, retrying: ";

fn session(symbols: &[&str]) -> (Session, Arc<Buffer>) {
    let buffer = Arc::new(Buffer::new(100_000));
    let wanted = |symbol: &&str| Wanted { symbol: (*symbol).into(), ..Wanted::default() };
    let sources = symbols.iter().map(wanted).collect();
    let options = Options { sources, live: true, ..Options::default() };
    let session = Session::new(Arc::clone(&buffer), "binance", options);
    (session.expect("a known venue"), buffer)
}

fn drained(buffer: &Buffer) -> Rows {
    buffer.drain(Duration::ZERO, Duration::ZERO).map(|d| d.rows).unwrap_or_default()
}

/// State, kind and detail of the rows of symbols, in the order in which they were written.
fn told(buffer: &Buffer) -> Vec<(&'static str, String, String)> {
    let rows = drained(buffer).statuses;
    let of_symbols = rows.iter().filter(|s| s.scope == "symbol" && &*s.kind != "symbol_assumed");
    let detail = |detail: &Option<Box<str>>| detail.as_deref().unwrap_or_default().to_owned();
    of_symbols.map(|s| (s.state, s.kind.to_string(), detail(&s.detail))).collect()
}

/// Let seconds pass, one by one; return when each request for the list was made, and what was sent.
fn pass(session: &mut Session, from_s: i64, to_s: i64) -> (Vec<i64>, Vec<String>) {
    let (mut asked, mut sent) = (Vec::new(), Vec::new());
    for second in from_s..=to_s {
        session.receive(&[0x8a, 0], START + second * SECOND);
        for action in session.tick(START + second * SECOND) {
            match action {
                Action::Fetch(fetch) if fetch == Fetch::get(PATH) => {
                    asked.push(second);
                    let why = "expected an answer, found ConnectionError";
                    session.fetch_failed(1, PATH, "fetch_failed", why, START + second * SECOND);
                }
                Action::Send(text) => sent.push(text),
                Action::Reconnect(why) => panic!("left: {why}"),
                _ => {}
            }
        }
    }
    (asked, sent)
}

#[test]
fn each_source_is_told_of_before_anything_is_known_and_is_one_with_its_instrument() {
    let (mut session, buffer) = session(&["BTC-USDT", "ETHUSDT", "*-USDT"]);
    session.expect(START);
    let names = || -> Vec<(String, &'static str)> {
        let drained = buffer.drain(Duration::ZERO, Duration::ZERO).expect("rows");
        let name = |symbol: Option<Name>| &drained.names[symbol.expect("a symbol").0 as usize];
        let of_symbols = drained.rows.statuses.iter().filter(|row| row.scope == "symbol");
        of_symbols.map(|row| (name(row.header.symbol).to_string(), row.state)).collect()
    };
    let told = |symbol: &str, state| (symbol.to_owned(), state);
    let first = names();
    assert_eq!(first, ["BTC-USDT", "ETHUSDT", "*-USDT"].map(|name| told(name, "initialising")));
    session.fetched(1, PATH, LIST, START + SECOND, 0);
    session.opened(1, START + SECOND, "ws://x");
    let then = names();
    // The instruments of the other two go by their own names.
    let stopped: Vec<_> = then.iter().filter(|row| row.1 == "stopped").cloned().collect();
    assert_eq!(stopped, [told("ETHUSDT", "stopped"), told("*-USDT", "stopped")]);
    let followed: Vec<_> = then.into_iter().filter(|row| row.1 == "initialising").collect();
    assert_eq!(followed, ["BTC-USDT", "ETH-USDT"].map(|name| told(name, "initialising")));
}

#[test]
fn a_list_that_fails_is_asked_for_again_with_growing_pauses_and_its_pattern_says_why() {
    let (mut session, buffer) = session(&["BTC*"]);
    session.opened(1, START, "ws://x");
    let (asked, sent) = pass(&mut session, 1, 100);
    assert_eq!(asked, [1, 2, 4, 8, 16, 32, 62, 92]);
    assert!(sent.is_empty());
    let why = format!("{PREFIX}expected an answer, found ConnectionError");
    let waiting = ("failed", "fetch_failed".to_owned(), format!("{PREFIX}no answer yet"));
    assert_eq!(told(&buffer), [waiting, ("failed", "fetch_failed".into(), why)]);
    session.fetched(1, PATH, LIST, START + 100 * SECOND, 0);
    let (asked, sent) = pass(&mut session, 101, 103);
    assert!(asked.is_empty());
    assert_eq!(sent.len(), 1);
    assert!(sent[0].contains("btcusdt@trade") && !sent[0].contains("ethusdt"));
    let found = ("stopped", "stopped".to_owned(), "its instruments are followed".to_owned());
    let rows = told(&buffer);
    assert!(rows.contains(&found), "{rows:?}");
    assert_eq!(rows.iter().filter(|row| row.0 == "failed").count(), 0);
}

#[test]
fn what_streams_already_is_not_asked_for_again_when_the_list_comes() {
    let (mut session, _buffer) = session(&["BTC-USDT", "*-USDT"]);
    session.opened(1, START, "ws://x");
    pass(&mut session, 1, 60);
    session.fetched(1, PATH, LIST, START + 60 * SECOND, 0);
    let (_, sent) = pass(&mut session, 61, 62);
    assert_eq!(sent.len(), 1);
    assert!(sent[0].contains("ethusdt@trade") && !sent[0].contains("btcusdt"));
}

#[test]
fn a_line_whose_symbols_the_list_calls_otherwise_is_opened_anew() {
    let (mut session, _buffer) = session(&["BTC*", "NOPE-USDT"]);
    session.opened(1, START, "ws://x");
    session.fetched(1, PATH, LIST, START + SECOND, 0);
    let actions = session.tick(START + 2 * SECOND);
    let is_left = |action: &Action| *action == Action::Reconnect("the instrument list came".into());
    assert!(actions.iter().any(is_left));
}

#[test]
fn an_empty_or_unreadable_list_is_none() {
    let html = "<html>maintenance</html>";
    for (body, why) in
        [(r#"{"symbols":[]}"#, "expected instruments in the list, found none"), (html, html)]
    {
        let (mut session, buffer) = session(&["BTC*", "ETH-USDT"]);
        session.fetched(1, PATH, body, START, 0);
        assert_eq!(session.prepare(), [Action::Fetch(Fetch::get(PATH))]);
        session.opened(1, START, "ws://x");
        session.fetched(1, PATH, body, START + SECOND, 0);
        let rows = drained(&buffer).statuses;
        let failed: Vec<_> = rows.iter().filter(|s| s.state == "failed").collect();
        let detail = failed.last().and_then(|s| s.detail.as_deref()).unwrap_or_default();
        assert!(detail.starts_with(PREFIX) && detail.contains(why), "{detail}");
        // The same again is not told of again.
        let kinds = ["undecodable", "fetch_failed"];
        let told = rows.iter().filter(|s| kinds.contains(&&*s.kind) && s.scope == "connection");
        assert_eq!(told.count(), 1);
    }
}

#[test]
fn a_polled_pattern_is_polled_once_the_list_is_there() {
    let (mut session, _buffer) = session(&["BTC*"]);
    session.fall_back(1, START, "by request");
    pass(&mut session, 0, 20);
    session.fetched(1, PATH, LIST, START + 20 * SECOND, 0);
    let asked: Vec<_> = (21..24).flat_map(|s| session.tick(START + s * SECOND)).collect();
    let polled =
        |action: &Action| matches!(action, Action::Fetch(fetch) if fetch.path.contains("BTCUSDT"));
    assert!(asked.iter().any(polled), "{asked:?}");
}

#[test]
fn a_pattern_that_waits_is_stopped_with_its_session() {
    let (mut session, buffer) = session(&["BTC*"]);
    session.opened(1, START, "ws://x");
    session.closed(1, START + SECOND, "stopped", "stopped on request");
    let last = told(&buffer).pop();
    assert_eq!(last, Some(("stopped", "stopped".into(), "stopped on request".into())));
}
