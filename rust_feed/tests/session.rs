//! A session against scripted time: what it asks of the transport, and what it writes.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rust_feed::buffer::Buffer;
use rust_feed::row::Rows;
use rust_feed::session::{Action, Options, Session, Wanted};
use rust_feed::subscription::Fetch;
use rust_feed::venue::PROFILES;

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_700_000_000 * SECOND;
const BOOK_TICKER: &str = r#"{"stream":"btcusdt@bookTicker","data":{"u":1,"s":"BTCUSDT","b":"1.0","B":"1","a":"1.1","A":"1"}}"#;

fn session(venue: &str, symbols: &[&str]) -> (Session, Arc<Buffer>) {
    let buffer = Arc::new(Buffer::new(100_000));
    let wanted = |symbol: &&str| Wanted { symbol: (*symbol).into(), ..Wanted::default() };
    let sources = symbols.iter().map(wanted).collect();
    let options = Options { sources, live: true, ..Options::default() };
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

/// The states of the symbols, in the order in which they were written.
fn states(rows: &Rows) -> Vec<(&'static str, String)> {
    let symbols =
        rows.statuses.iter().filter(|s| s.scope == "symbol" && &*s.kind != "symbol_assumed");
    symbols.map(|status| (status.state, status.kind.to_string())).collect()
}

/// Let seconds pass, one by one, and return all that was asked of the transport.
fn pass(session: &mut Session, from_s: i64, to_s: i64) -> Vec<Action> {
    (from_s..=to_s).flat_map(|s| session.tick(START + s * SECOND)).collect()
}

#[test]
fn a_silent_line_is_pinged_and_then_left_as_half_open() {
    let (mut session, buffer) = session("binance", &["BTC-USDT"]);
    session.opened(1, START, "ws://x");
    assert!(pass(&mut session, 1, 9).iter().all(|action| *action != Action::Ping));
    assert_eq!(pass(&mut session, 10, 10), [Action::Ping]);
    let actions = pass(&mut session, 11, 25);
    assert!(matches!(actions.last(), Some(Action::Reconnect(why)) if why.contains("24 s")));
    assert!(drained(&buffer).statuses.iter().any(|status| &*status.kind == "half_open"));
}

#[test]
fn an_answered_ping_keeps_a_line_without_data_alive_until_the_data_timer() {
    let (mut session, buffer) = session("binance", &["BTC-USDT"]);
    session.opened(1, START, "ws://x");
    session.receive(&framed(BOOK_TICKER), START);
    let mut left = None;
    for second in 1..=130 {
        let now = START + second * SECOND;
        let actions = session.tick(now);
        if actions.contains(&Action::Ping) {
            session.receive(&[0x8a, 0], now);
        }
        if let Some(Action::Reconnect(_)) = actions.last() {
            left.get_or_insert(second);
        }
    }
    assert_eq!(left, Some(120));
    let rows = drained(&buffer);
    let expected = [
        ("initialising", "initialising"),
        ("connected", "connected"),
        ("quiet", "quiet"),
        ("stale", "no_data"),
    ];
    assert_eq!(states(&rows), expected.map(|(state, kind)| (state, kind.to_string())));
}

#[test]
fn a_refused_subscription_fails_its_symbol_and_leaves_the_others() {
    let (mut session, buffer) = session("kraken", &["BTC/USD", "NOPE/USD"]);
    let sent = session.opened(1, START, "ws://x");
    assert!(matches!(&sent[..], [Action::Send(text)] if text.contains("instrument")));
    // Without the list the symbols are taken at their word after some seconds.
    let sent = pass(&mut session, 1, 5);
    assert_eq!(sent.len(), 3);
    let refusal = r#"{"error":"Currency pair not supported NOPE/USD","method":"subscribe","success":false,"symbol":"NOPE/USD"}"#;
    let accepted =
        r#"{"method":"subscribe","result":{"channel":"trade","symbol":"BTC/USD"},"success":true}"#;
    session.receive(&[framed(refusal), framed(accepted)].concat(), START + 6 * SECOND);
    pass(&mut session, 7, 7);
    let rows = drained(&buffer);
    let refused: Vec<_> = rows.statuses.iter().filter(|s| &*s.kind == "refused").collect();
    // All channels of the one symbol, and then the symbol itself.
    assert_eq!(refused.len(), 4);
    assert!(
        refused.iter().all(|s| s.detail.as_deref().is_some_and(|d| d.contains("not supported")))
    );
    assert_eq!(states(&rows).last().map(|(state, _)| *state), Some("failed"));
}

#[test]
fn products_refused_with_another_one_are_asked_for_again() {
    let (mut session, buffer) = session("coinbase-exchange", &["BTC-USD", "NOPE-USD"]);
    let sent = session.opened(1, START, "ws://x");
    let texts = |actions: &[Action]| -> Vec<String> {
        let text = |action: &Action| match action {
            Action::Send(text) => Some(text.clone()),
            _ => None,
        };
        actions.iter().filter_map(text).collect()
    };
    assert!(texts(&sent).iter().all(|text| text.contains("NOPE-USD")));
    let refusal = r#"{"type":"error","message":"Failed to subscribe","reason":"NOPE-USD is not a valid product"}"#;
    // One for each request: heartbeats and three channels.
    let sent = session.receive(&framed(refusal).repeat(4), START + SECOND);
    let sent = [sent, session.tick(START + 2 * SECOND)].concat();
    let expected = ["heartbeat", "ticker", "matches", "level2_batch"].map(|channel| {
        format!(r#"{{"channels":["{channel}"],"product_ids":["BTC-USD"],"type":"subscribe"}}"#)
    });
    assert_eq!(texts(&sent), expected);
    pass(&mut session, 3, 3);
    let rows = drained(&buffer);
    let failed: Vec<_> =
        states(&rows).into_iter().filter(|(state, _)| *state == "failed").collect();
    assert_eq!(failed, [("failed", "refused".to_string())]);
}

#[test]
fn a_market_that_may_be_closed_keeps_its_line_without_data() {
    let (mut session, _buffer) = session("finnhub", &["AAPL"]);
    session.opened(1, START, "ws://x");
    for second in 1..=600 {
        let actions = session.tick(START + second * SECOND);
        session.receive(&framed(r#"{"type":"ping"}"#), START + second * SECOND);
        assert!(!actions.iter().any(|action| matches!(action, Action::Reconnect(_))), "{second} s");
    }
}

#[test]
fn polled_symbols_of_kraken_are_those_of_its_list_by_rest() {
    let (mut session, buffer) = session("kraken", &["XBT/USD", "NOPE-USD"]);
    session.fall_back(0, START, "by request");
    let asked = session.tick(START);
    let path = "/0/public/AssetPairs";
    assert_eq!(asked, [Action::Fetch(Fetch::get(path))]);
    // <https://docs.kraken.com/api/docs/rest-api/get-tradable-asset-pairs>, shortened.
    let body = r#"{"error":[],"result":{"XXBTZUSD":{"altname":"XBTUSD","wsname":"XBT/USD",
        "base":"XXBT","quote":"ZUSD","pair_decimals":1,"lot_decimals":8,"tick_size":"0.1",
        "status":"online"}}}"#;
    session.fetched(0, path, body, START, 0);
    let asked = pass(&mut session, 1, 3);
    let ticker = Action::Fetch(Fetch::get("/0/public/Ticker?pair=BTC/USD"));
    assert_eq!(asked.first(), Some(&ticker));
    let rows = drained(&buffer);
    assert!(rows.statuses.iter().any(|s| s.state == "failed" && &*s.kind == "refused"));
    assert!(rows.statuses.iter().all(|s| &*s.kind != "symbol_assumed"));
    assert_eq!(rows.instruments.iter().map(|i| i.price_precision).collect::<Vec<_>>(), [1.0]);
}

#[test]
fn an_acknowledged_symbol_without_data_is_told_as_silent() {
    let (mut session, buffer) = session("binance", &["BTC-USDT"]);
    session.opened(1, START, "ws://x");
    session.receive(&framed(r#"{"result":null,"id":1}"#), START);
    for second in 1..=60 {
        session.tick(START + second * SECOND);
        session.receive(&[0x8a, 0], START + second * SECOND);
    }
    assert_eq!(states(&drained(&buffer)).last(), Some(&("stale", "silent".to_string())));
}

#[test]
fn a_symbol_that_is_neither_acknowledged_nor_heard_of_is_told_as_silent() {
    let (mut session, buffer) = session("finnhub", &["AAPL", "TSLA"]);
    let sent = session.opened(1, START, "ws://x");
    let subscribe = |symbol| Action::Send(format!(r#"{{"symbol":"{symbol}","type":"subscribe"}}"#));
    assert_eq!(sent, [subscribe("AAPL"), subscribe("TSLA")]);
    for second in 1..=60 {
        session.tick(START + second * SECOND);
        let trade =
            r#"{"data":[{"c":null,"p":1.5,"s":"TSLA","t":1672348887195,"v":1}],"type":"trade"}"#;
        session.receive(&framed(trade), START + second * SECOND);
    }
    let rows = drained(&buffer);
    assert_eq!(states(&rows).last(), Some(&("stale", "silent".to_string())));
    // The first data is the acceptance, and it is told once.
    assert_eq!(rows.statuses.iter().filter(|s| &*s.kind == "subscribed").count(), 1);
}

#[test]
fn a_key_that_may_hold_one_connection_opens_no_second_one() {
    let symbols: Vec<String> = (0..52).map(|n| format!("S{n}")).collect();
    let symbols: Vec<&str> = symbols.iter().map(String::as_str).collect();
    let (mut session, buffer) = session("finnhub", &symbols);
    let mut asked = session.opened(1, START, "ws://x");
    asked.extend(pass(&mut session, 1, 9));
    assert_eq!(asked.iter().filter(|action| matches!(action, Action::Send(_))).count(), 50);
    assert!(!asked.iter().any(|action| matches!(action, Action::Parts(parts) if *parts > 1)));
    assert_eq!(
        drained(&buffer).statuses.iter().filter(|status| &*status.kind == "refused").count(),
        2
    );
}

#[test]
fn a_symbol_that_the_list_does_not_have_is_refused_before_it_is_asked_for() {
    let (mut session, buffer) = session("binance", &["btcusdt", "NOPE-USDT"]);
    assert_eq!(session.prepare(), [Action::Fetch(Fetch::get("/api/v3/exchangeInfo"))]);
    let list = r#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[{"filterType":"PRICE_FILTER","tickSize":"0.01000000"},{"filterType":"LOT_SIZE","stepSize":"0.00001000"}]}]}"#;
    session.fetched(1, "/api/v3/exchangeInfo", list, START, 0);
    assert!(session.prepare().is_empty());
    let sent = session.opened(1, START, "ws://x");
    assert!(
        matches!(&sent[..], [Action::Send(text)] if text.contains("btcusdt@trade") && !text.contains("nope"))
    );
    let rows = drained(&buffer);
    let known = &rows.instruments[0];
    assert_eq!((known.tick_size, known.price_precision, known.size_precision), (0.01, 2.0, 5.0));
    assert!(rows.statuses.iter().any(|s| &*s.kind == "refused" && s.state == "failed"));
}

#[test]
fn a_lost_line_ends_the_quotes_that_were_true() {
    let (mut session, buffer) = session("binance", &["BTC-USDT"]);
    session.opened(1, START, "ws://x");
    session.receive(&framed(BOOK_TICKER), START);
    session.closed(1, START + SECOND, "disconnected", "reset");
    let rows = drained(&buffer);
    assert_eq!(rows.quotes.len(), 2);
    assert!(rows.quotes[1].bid.is_nan());
    assert_eq!(rows.quotes[1].header.flags, rust_feed::row::INVALID);
}

#[test]
fn a_text_that_is_not_utf8_is_told_and_the_line_left_with_1007() {
    let (mut session, buffer) = session("binance", &["BTC-USDT"]);
    session.opened(1, START, "ws://x");
    let bytes = [&[0x89, 1, 7, 0x81, 4][..], b"ab\xffc", &framed(BOOK_TICKER)].concat();
    let actions = session.receive(&bytes, START);
    assert_eq!(actions[0], Action::Pong(vec![7]));
    assert!(matches!(actions[1], Action::Close(Some(1007), _)));
    let rows = drained(&buffer);
    let told = rows.statuses.iter().find(|status| &*status.kind == "undecodable");
    let told = told.and_then(|status| status.detail.as_deref()).unwrap_or_default();
    assert!(told.contains("byte 2") && told.ends_with("ab\u{fffd}c"), "{told}");
    assert!(rows.quotes.is_empty());
}

#[test]
fn a_venues_closing_frame_is_answered_with_its_code_and_nothing_after_it_is_read() {
    let (mut session, buffer) = session("binance", &["BTC-USDT"]);
    session.opened(1, START, "ws://x");
    let bytes = [&[0x88, 5, 0x03, 0xf0][..], b"bye", &framed(BOOK_TICKER)].concat();
    let why = "the venue closed the connection: code 1008 bye";
    assert_eq!(session.receive(&bytes, START), [Action::Close(Some(1008), why.into())]);
    assert!(session.receive(&framed(BOOK_TICKER), START).is_empty());
    assert!(drained(&buffer).quotes.is_empty());
}

/// REST resources of all venues.
const RESOURCES: [&str; 10] = [
    "/api/v3/exchangeInfo/market/products",
    "/0/public/AssetPairs",
    "/0/public/Ticker",
    "/products/BTC-USD/book",
    "/products/BTC-USD/trades",
    "/api/v1/quote?symbol=AAPL",
    "/v1/quotes?symbols=BTC-USD",
    "/v1/trades?symbol=BTC-USD&after=0",
    "?to=0xb4e16d0168e52d35cacd2c6185b44281ec28c9dc&data=0x0902f1ac",
    "",
];

/// Texts that resemble what venues send, and are mostly wrong.
fn near_frames() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "stream",
        "data",
        "e",
        "u",
        "s",
        "b",
        "B",
        "a",
        "A",
        "t",
        "p",
        "q",
        "T",
        "E",
        "m",
        "channel",
        "type",
        "events",
        "tickers",
        "trades",
        "trade",
        "ticker",
        "market_trades",
        "snapshot",
        "symbol",
        "method",
        "subscribe",
        "result",
        "success",
        "error",
        "id",
        "BTC-USD",
        "BTC/USD",
        "1.5",
        "bookTicker",
        "jsonrpc",
        "_meta",
        "pools",
        "token1Price",
        "msg",
        "v",
        "quotes",
        "0x0902f1ac",
        "0x",
        "0xb4e16d0168e52d35cacd2c6185b44281ec28c9dc",
        "event",
        "subscriptionStatus",
        "pair",
        "wsname",
        "book-10",
        "spread",
        "as",
        "c",
        "product_id",
        "changes",
        "bids",
        "match",
        "heartbeat",
        "last_trade_id",
        "l2update",
        "buy",
    ]);
    let leaf = prop_oneof![
        word.clone().prop_map(|w| format!("\"{w}\"")),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| n.to_string()),
        Just("null".to_string()),
        Just("true".to_string()),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((word.clone(), inner), 0..8).prop_map(|pairs| {
                let fields: Vec<String> =
                    pairs.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_text_panics_any_dialect(texts in prop::collection::vec(prop_oneof![near_frames(), ".*"], 1..8)) {
        for venue in PROFILES.map(|profile| profile.name) {
            let (mut session, buffer) = session(venue, &["BTC-USD"]);
            session.opened(1, START, "ws://x");
            for (at, text) in texts.iter().enumerate() {
                session.frame(1, text, START + at as i64, 0);
                session.sent(text);
                for url in RESOURCES {
                    session.fetched(1, url, text, START, 0);
                }
            }
            let rows = drained(&buffer);
            prop_assert_eq!(rows.next_ord as usize, rows.len());
        }
    }

    #[test]
    fn a_damaged_frame_gives_one_tick_or_one_reason(at in 0usize..100, byte in any::<u8>()) {
        let (mut session, buffer) = session("binance", &[]);
        let mut bytes = BOOK_TICKER.as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        let wire = [&[0x81, bytes.len() as u8][..], &bytes].concat();
        session.opened(1, START, "ws://x");
        session.receive(&wire, START);
        let rows = drained(&buffer);
        let told = rows.statuses.iter().filter(|s| &*s.kind == "undecodable").count();
        prop_assert!(rows.quotes.len() + told + session.ignored_frames() as usize <= 1);
    }
}
