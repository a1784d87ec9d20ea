//! Many symbols over several connections, and one connection in place of another: scripted time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rust_feed::buffer::Buffer;
use rust_feed::row::Rows;
use rust_feed::session::{Action, Options, Session, Wanted};

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_700_000_000 * SECOND;

fn session(symbol: &str, part: usize) -> (Session, Arc<Buffer>) {
    session_at("binance", symbol, part)
}

fn session_at(venue: &str, symbol: &str, part: usize) -> (Session, Arc<Buffer>) {
    let buffer = Arc::new(Buffer::new(100_000));
    let sources = vec![Wanted { symbol: symbol.into(), ..Wanted::default() }];
    let options = Options { sources, live: true, part, ..Options::default() };
    let session = Session::new(Arc::clone(&buffer), venue, options);
    (session.expect("a known venue"), buffer)
}

fn drained(buffer: &Buffer) -> Rows {
    buffer.drain(Duration::ZERO, Duration::ZERO).map(|d| d.rows).unwrap_or_default()
}

fn framed(text: &str) -> Vec<u8> {
    let size = u16::try_from(text.len()).expect("a short text");
    [&[0x81, 126], &size.to_be_bytes()[..], text.as_bytes()].concat()
}

fn list(count: usize) -> String {
    let symbols = (0..count).map(|at| {
        format!(r#"{{"symbol":"A{at}USDT","status":"TRADING","baseAsset":"A{at}","quoteAsset":"USDT","filters":[]}}"#)
    });
    format!(r#"{{"symbols":[{}]}}"#, symbols.collect::<Vec<_>>().join(","))
}

/// The streams that a session asks for, over as many seconds as its pace needs.
fn asked(session: &mut Session, first: Vec<Action>) -> (BTreeSet<String>, Option<usize>) {
    let (mut streams, mut parts) = (BTreeSet::new(), None);
    let later = (1..=30).flat_map(|s| session.tick(START + s * SECOND / 2)).collect::<Vec<_>>();
    for action in first.into_iter().chain(later) {
        match action {
            Action::Send(text) => {
                let request: serde_json::Value = serde_json::from_str(&text).expect("JSON");
                let params = request["params"].as_array().expect("streams");
                streams.extend(params.iter().filter_map(|p| p.as_str()).map(str::to_owned));
            }
            Action::Parts(count) => parts = Some(count),
            _ => {}
        }
    }
    (streams, parts)
}

#[test]
fn a_pattern_is_spread_over_as_many_connections_as_the_venue_wants() {
    let mut all = BTreeSet::new();
    let mut sizes = Vec::new();
    for part in 0..3 {
        let (mut session, _) = session("*-USDT", part);
        session.fetched(0, "/api/v3/exchangeInfo", &list(800), START, 0);
        let first = session.opened(1, START, "ws://x");
        let (streams, parts) = asked(&mut session, first);
        assert_eq!(parts, (part == 0).then_some(3));
        assert!(streams.len() <= 1024, "{}", streams.len());
        assert!(streams.is_disjoint(&all));
        sizes.push(streams.len());
        all.extend(streams);
    }
    // Three channels of each symbol, and no symbol's channels on two connections.
    assert_eq!(all.len(), 2400);
    assert!(sizes.iter().all(|size| size % 3 == 0));
}

#[test]
fn books_are_asked_for_one_after_the_other_as_the_venue_allows_to_all_connections_together() {
    // Two a second; of the larger list three connections share them.
    for (count, sharing) in [(60, 1), (800, 3)] {
        let (mut session, _) = session("*-USDT", 0);
        session.fetched(0, "/api/v3/exchangeInfo", &list(count), START, 0);
        let mut actions = session.opened(1, START, "ws://x");
        let mut asked = Vec::new();
        for tenth in 1..=200 {
            let now = START + tenth * SECOND / 10;
            actions.extend(session.tick(now));
            while let Some(action) = actions.pop() {
                match action {
                    Action::Send(text) => {
                        let request: serde_json::Value = serde_json::from_str(&text).expect("JSON");
                        let answer = format!(r#"{{"result":null,"id":{}}}"#, request["id"]);
                        actions.extend(session.receive(&framed(&answer), now));
                    }
                    Action::Fetch(fetch) => asked.push((fetch.path, now)),
                    _ => {}
                }
            }
        }
        let different: BTreeSet<_> = asked.iter().map(|(path, _)| path).collect();
        // None is answered, and still none is asked for twice while others wait for their turn.
        assert_eq!(different.len(), asked.len());
        assert!(asked.len() >= 2 * 19 / sharing, "{}", asked.len());
        for pair in asked.windows(3) {
            assert!(pair[2].1 - pair[0].1 >= sharing as i64 * SECOND);
        }
    }
}

fn trade(id: u64) -> Vec<u8> {
    framed(&format!(
        r#"{{"stream":"a0usdt@trade","data":{{"e":"trade","E":1,"s":"A0USDT","t":{id},"p":"1.0","q":"1.0","T":1,"m":true,"M":true}}}}"#
    ))
}

#[test]
fn a_connection_that_takes_over_brings_neither_gap_nor_duplicate() {
    let (mut session, buffer) = session("A0-USDT", 0);
    session.fetched(0, "/api/v3/exchangeInfo", &list(1), START, 0);
    session.opened(1, START, "ws://x");
    (1..=5).for_each(|id| drop(session.receive(&trade(id), START + SECOND)));
    let shutdown = framed(r#"{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}"#);
    session.receive(&shutdown, START + 2 * SECOND);
    let actions = session.tick(START + 2 * SECOND);
    assert!(actions.iter().any(|action| matches!(action, Action::Replace(_))));
    let sent = session.opened_beside(2, START + 3 * SECOND, "ws://y");
    assert!(matches!(&sent[..], [Action::Send(text)] if text.contains("SUBSCRIBE")));
    // The second connection lags at first, then is ahead: neither may be seen.
    session.receive_beside(&trade(4), START + 3 * SECOND);
    session.receive(&trade(6), START + 3 * SECOND);
    session.receive_beside(&framed(r#"{"result":null,"id":1}"#), START + 3 * SECOND);
    for id in 5..=9 {
        session.receive_beside(&trade(id), START + 3 * SECOND);
    }
    session.receive(&trade(7), START + 4 * SECOND);
    let actions = session.tick_beside(START + 4 * SECOND);
    assert!(actions.contains(&Action::TakeOver));
    session.take_over(START + 4 * SECOND);
    session.receive(&trade(10), START + 5 * SECOND);
    session.tick(START + 10 * SECOND);
    let rows = drained(&buffer);
    let ids: Vec<_> = rows.trades.iter().filter_map(|trade| trade.seq).collect();
    assert_eq!(ids, (1..=10).collect::<Vec<_>>());
    assert!(rows.trades.iter().all(|trade| trade.header.flags == 0));
    let conns: Vec<_> = rows.trades.iter().map(|trade| trade.header.conn).collect();
    assert_eq!(conns, [1, 1, 1, 1, 1, 1, 1, 2, 2, 2]);
    let replaced = rows.statuses.iter().find(|status| &*status.kind == "replaced");
    assert_eq!(replaced.and_then(|status| status.count), Some(4));
    assert!(!rows.statuses.iter().any(|s| matches!(&*s.kind, "gap" | "duplicate" | "late")));
}

#[test]
fn an_alias_is_asked_for_under_the_name_of_the_answers() {
    let (mut session, buffer) = session_at("coinbase", "BTC-USDC", 0);
    let products = r#"{"products":[
        {"product_id":"BTC-USD","status":"online","alias":""},
        {"product_id":"BTC-USDC","status":"online","alias":"BTC-USD"}]}"#;
    session.fetched(0, "/api/v3/brokerage/market/products", products, START, 0);
    let sent = session.opened(1, START, "ws://x");
    let texts = sent.iter().filter_map(|action| match action {
        Action::Send(text) => Some(text.as_str()),
        _ => None,
    });
    let asked: Vec<_> = texts.filter(|text| text.contains("product_ids")).collect();
    assert!(!asked.is_empty());
    assert!(asked.iter().all(|text| text.contains("[\"BTC-USD\"]")), "{asked:?}");
    let rows = drained(&buffer);
    let told = rows.statuses.iter().find(|status| &*status.kind == "alias");
    assert!(told.and_then(|s| s.detail.as_deref()).is_some_and(|d| d.contains("BTC-USDC")));
}
