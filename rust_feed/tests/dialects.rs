//! What sessions of Kraken v1 and Coinbase Exchange ask, and what they make of the answers.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rust_feed::buffer::Buffer;
use rust_feed::row::{self, Rows};
use rust_feed::session::{Action, Options, Session, Wanted};
use rust_feed::subscription::Fetch;

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_700_000_000 * SECOND;
const PAIRS: &str = r#"{"error":[],"result":{"XXBTZUSD":{"altname":"XBTUSD","wsname":"XBT\/USD","base":"XXBT","quote":"ZUSD","pair_decimals":1,"lot_decimals":8,"tick_size":"0.1","status":"online"},"XBTUSD.d":{"altname":"XBTUSD.d","base":"XXBT","quote":"ZUSD","pair_decimals":1,"lot_decimals":8}}}"#;
const PRODUCTS: &str = r#"[{"id":"BTC-USD","base_currency":"BTC","quote_currency":"USD","quote_increment":"0.01","base_increment":"0.00000001","status":"online"}]"#;
const BOOK_SNAPSHOT: &str = r#"[336,{"as":[["5541.30000","2.50700000","1534614248.123678"]],"bs":[["5541.20000","1.52900000","1534614248.765567"]]},"book-25","XBT/USD"]"#;

fn session(venue: &str, symbol: &str, list: (&str, &str)) -> (Session, Arc<Buffer>) {
    let buffer = Arc::new(Buffer::new(100_000));
    let sources = vec![Wanted { symbol: symbol.into(), ..Wanted::default() }];
    let options = Options { sources, live: true, ..Options::default() };
    let mut session = Session::new(Arc::clone(&buffer), venue, options).expect("a known venue");
    assert_eq!(session.prepare(), [Action::Fetch(Fetch::get(list.0))]);
    session.fetched(1, list.0, list.1, START, 0);
    (session, buffer)
}

fn kraken_v1(symbol: &str) -> (Session, Arc<Buffer>) {
    session("kraken-v1", symbol, ("/0/public/AssetPairs", PAIRS))
}

fn coinbase_exchange() -> (Session, Arc<Buffer>) {
    session("coinbase-exchange", "btc/usd", ("/products", PRODUCTS))
}

fn drained(buffer: &Buffer) -> Rows {
    buffer.drain(Duration::ZERO, Duration::ZERO).map(|d| d.rows).unwrap_or_default()
}

fn framed(text: &str) -> Vec<u8> {
    let size = u16::try_from(text.len()).expect("a short text");
    [&[0x81, 126], &size.to_be_bytes()[..], text.as_bytes()].concat()
}

/// The texts sent, as JSON.
fn sent(actions: &[Action]) -> Vec<serde_json::Value> {
    let texts = actions.iter().filter_map(|action| match action {
        Action::Send(text) => Some(serde_json::from_str(text).expect("JSON")),
        _ => None,
    });
    texts.collect()
}

/// Kind, channel and detail of the status rows of one kind.
fn told<'a>(rows: &'a Rows, kind: &str) -> Vec<(Option<&'a str>, Option<&'a str>)> {
    let of_kind = rows.statuses.iter().filter(|status| &*status.kind == kind);
    of_kind.map(|status| (status.channel.as_deref(), status.detail.as_deref())).collect()
}

#[test]
fn kraken_v1_is_asked_per_channel_and_answers_per_pair() {
    for symbol in ["BTC-USD", "xbt/usd", "XXBTZUSD", "XBTUSD", "BTC/USD"] {
        let (mut session, buffer) = kraken_v1(symbol);
        let asked = sent(&session.opened(1, START, "ws://x"));
        let subscriptions: Vec<_> = asked.iter().map(|text| text["subscription"].clone()).collect();
        assert_eq!(
            subscriptions,
            [
                serde_json::json!({"name": "spread"}),
                serde_json::json!({"name": "trade"}),
                serde_json::json!({"name": "book", "depth": 25}),
            ]
        );
        assert!(asked.iter().all(|text| text["pair"] == serde_json::json!(["XBT/USD"])));
        let ack = r#"{"channelID":10001,"channelName":"book-25","event":"subscriptionStatus","pair":"XBT/USD","reqid":3,"status":"subscribed","subscription":{"depth":25,"name":"book"}}"#;
        let refusal = r#"{"errorMessage":"Subscription depth not supported","event":"subscriptionStatus","pair":"XBT/USD","reqid":1,"status":"error","subscription":{"name":"spread"}}"#;
        session.receive(&[framed(ack), framed(refusal)].concat(), START);
        let rows = drained(&buffer);
        assert_eq!(told(&rows, "subscribed"), [(Some("book"), None)]);
        assert_eq!(
            told(&rows, "refused"),
            [(Some("quote"), Some("Subscription depth not supported"))]
        );
        let known = &rows.instruments[0];
        assert_eq!((&*known.raw_symbol, &*known.base), ("XBT/USD", "BTC"));
        assert_eq!((known.tick_size, known.price_precision, known.size_precision), (0.1, 1.0, 8.0));
    }
}

#[test]
fn kraken_v1_checksums_count_the_digits_of_the_wire_not_those_of_the_instrument() {
    let (mut session, buffer) = kraken_v1("BTC-USD");
    session.opened(1, START, "ws://x");
    // zlib's CRC-32 of 554130000 250700000 554120000 300000000.
    let good = r#"[336,{"b":[["5541.20000","3.00000000","1534614249.000001"]],"c":"657520270"},"book-25","XBT/USD"]"#;
    session.receive(&[framed(BOOK_SNAPSHOT), framed(good)].concat(), START);
    let rows = drained(&buffer);
    assert!(told(&rows, "checksum").is_empty(), "{:?}", rows.statuses);
    assert!(rows.books.iter().all(|book| book.header.flags & row::MAYBE_BAD_BOOK == 0));
    assert_eq!(rows.books[1].header.ts_event, Some(1_534_614_249_000_001_000));
    let asked = sent(&session.receive(&framed(&good.replace("657520270", "1")), START + SECOND));
    assert_eq!(
        asked.iter().map(|text| text["event"].clone()).collect::<Vec<_>>(),
        ["unsubscribe", "subscribe"]
    );
    let book = serde_json::json!({"name": "book", "depth": 25});
    assert!(asked.iter().all(|text| text["subscription"] == book));
    session.receive(&framed(BOOK_SNAPSHOT), START + 2 * SECOND);
    let rows = drained(&buffer);
    assert_eq!((told(&rows, "checksum").len(), told(&rows, "resync").len()), (1, 1));
    let bad = |book: &row::BookMessage| book.header.flags & row::MAYBE_BAD_BOOK != 0;
    assert_eq!(rows.books.iter().map(bad).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn kraken_v1_trades_told_by_stream_and_by_rest_count_once() {
    let (mut session, buffer) = kraken_v1("BTC-USD");
    let trade = |us: u32| {
        format!(
            r#"[0,[["5541.20000","0.15850568","1534614057.{us:06}","s","l",""]],"trade","XBT/USD"]"#
        )
    };
    let polled = |ids: std::ops::RangeInclusive<u32>| {
        let item = |id| {
            format!(r#"["5541.20000","0.15850568",1534614057.{:06}4,"s","l","",{id}]"#, id * 10)
        };
        let items: Vec<String> = ids.map(item).collect();
        format!(
            r#"{{"error":[],"result":{{"XXBTZUSD":[{}],"last":"1534614057"}}}}"#,
            items.join(",")
        )
    };
    session.opened(1, START, "ws://x");
    // The stream brings 1 and 2, REST 1 to 4, a new stream 3 to 5, REST 4 to 7.
    session.receive(&[framed(&trade(10)), framed(&trade(20))].concat(), START);
    session.closed(1, START, "disconnected", "reset");
    session.fall_back(1, START, "no line");
    session.fetched(1, "/0/public/Trades?pair=XBT/USD", &polled(1..=4), START, 0);
    session.opened(2, START, "ws://x");
    session.receive(&[framed(&trade(30)), framed(&trade(40)), framed(&trade(50))].concat(), START);
    session.closed(2, START, "disconnected", "reset");
    session.fetched(2, "/0/public/Trades?pair=XBT/USD", &polled(4..=7), START, 0);
    let rows = drained(&buffer);
    let counted: Vec<_> = rows.trades.iter().map(|t| (t.header.ts_event, t.header.flags)).collect();
    let at = |us: i64, flags| (Some(1_534_614_057_000_000_000 + us * 1000), flags);
    let by_rest = |us| (at(us, row::REST).0.map(|ns| ns + 400), row::REST);
    let expected = [
        at(10, 0),
        at(20, 0),
        by_rest(30),
        by_rest(40),
        at(30, row::DUPLICATE),
        at(40, row::DUPLICATE),
        at(50, 0),
        by_rest(60),
        by_rest(70),
    ];
    assert_eq!(counted, expected);
    assert!(told(&rows, "gap").is_empty() && told(&rows, "duplicate").is_empty());
}

#[test]
fn coinbase_exchange_is_always_asked_for_heartbeats_and_names_what_it_accepts() {
    let (mut session, buffer) = coinbase_exchange();
    let asked = sent(&session.opened(1, START, "ws://x"));
    let channels: Vec<_> = asked.iter().map(|text| text["channels"][0].clone()).collect();
    assert_eq!(channels, ["heartbeat", "ticker", "matches", "level2_batch"]);
    assert!(asked.iter().all(|text| text["product_ids"] == serde_json::json!(["BTC-USD"])));
    let ack = r#"{"type":"subscriptions","channels":[{"name":"level2_50","product_ids":["BTC-USD"],"account_ids":null},{"name":"heartbeat","product_ids":["BTC-USD"]}]}"#;
    let refusal = r#"{"type":"error","message":"Failed to subscribe","reason":"BTC-USD is not a valid product"}"#;
    let other = r#"{"type":"error","message":"Failed to subscribe","reason":"level2, level3, and full channels now require authentication."}"#;
    session.receive(&[framed(ack), framed(refusal), framed(other)].concat(), START);
    let rows = drained(&buffer);
    assert_eq!(told(&rows, "subscribed"), [(Some("book"), None)]);
    let refused: Vec<_> = told(&rows, "refused").into_iter().map(|(channel, _)| channel).collect();
    assert_eq!(refused, [Some("quote"), Some("trade"), None]);
}

#[test]
fn a_match_lost_behind_a_heartbeat_is_told_by_the_next_and_once() {
    let (mut session, buffer) = coinbase_exchange();
    session.opened(1, START, "ws://x");
    let heartbeat = |id: u64| {
        format!(
            r#"{{"type":"heartbeat","sequence":90,"last_trade_id":{id},"product_id":"BTC-USD","time":"2014-11-07T08:19:28.464459Z"}}"#
        )
    };
    let trade = |kind: &str, id: u64| {
        format!(
            r#"{{"type":"{kind}","trade_id":{id},"sequence":50,"time":"2014-11-07T08:19:27.028459Z","product_id":"BTC-USD","size":"5.23512","price":"400.23","side":"sell"}}"#
        )
    };
    // A heartbeat may run ahead of its match; that of 22 never comes.
    let frames = [
        heartbeat(20),
        trade("last_match", 20),
        heartbeat(21),
        trade("match", 21),
        heartbeat(22),
        heartbeat(22),
        heartbeat(22),
        trade("match", 23),
    ];
    session.receive(&frames.map(|frame| framed(&frame)).concat(), START);
    let rows = drained(&buffer);
    let gaps: Vec<_> = rows.statuses.iter().filter(|status| &*status.kind == "gap").collect();
    assert_eq!(gaps.len(), 1);
    assert_eq!((gaps[0].expected, gaps[0].got, gaps[0].count), (Some(22), None, Some(1)));
    let flags: Vec<_> = rows.trades.iter().map(|trade| trade.header.flags).collect();
    assert_eq!(flags, [row::SNAPSHOT, 0, 0]);
    // After a reconnect the last match is told again, or shows what was lost meanwhile.
    for last in [23, 26] {
        session.closed(1, START, "disconnected", "reset");
        session.opened(1, START, "ws://x");
        session.receive(&framed(&trade("last_match", last)), START);
    }
    let rows = drained(&buffer);
    let flags: Vec<_> = rows.trades.iter().map(|trade| trade.header.flags).collect();
    assert_eq!(flags, [row::SNAPSHOT | row::DUPLICATE, row::SNAPSHOT | row::GAP]);
    let gaps: Vec<_> = rows.statuses.iter().filter(|status| &*status.kind == "gap").collect();
    assert_eq!((gaps[0].expected, gaps[0].got, gaps[0].count), (Some(24), Some(26), Some(2)));
}

#[test]
fn a_crossed_coinbase_exchange_book_is_asked_for_anew_and_stands_unproved() {
    let (mut session, buffer) = coinbase_exchange();
    session.opened(1, START, "ws://x");
    let snapshot = r#"{"type":"snapshot","product_id":"BTC-USD","bids":[["10101.10","0.45054140"]],"asks":[["10102.55","0.57753524"]]}"#;
    let crossing = r#"{"type":"l2update","product_id":"BTC-USD","changes":[["buy","10103.00","1.00000000"]],"time":"2022-08-04T15:25:05.010758Z"}"#;
    let actions = session.receive(&[framed(snapshot), framed(crossing)].concat(), START);
    let asked: Vec<_> = sent(&actions).iter().map(|text| text["type"].clone()).collect();
    assert_eq!(asked, ["unsubscribe", "subscribe"]);
    session.receive(&framed(snapshot), START);
    session.tick(START + SECOND);
    let rows = drained(&buffer);
    assert_eq!((told(&rows, "crossed").len(), told(&rows, "resync").len()), (1, 1));
    let flags: Vec<_> =
        rows.books.iter().map(|book| book.header.flags & row::MAYBE_BAD_BOOK).collect();
    assert_eq!(flags, [0, row::MAYBE_BAD_BOOK, 0]);
    let health: Vec<_> = rows.stats.iter().filter_map(|stat| stat.book_health).collect();
    assert_eq!(health, ["unverifiable"]);
}

/// A ticker that names these best prices, `seconds` after the start.
fn best_by_ticker(seconds: i64, bid: &str, ask: &str) -> String {
    format!(
        r#"{{"type":"ticker","sequence":{},"product_id":"BTC-USD","price":"{bid}","best_bid":"{bid}","best_bid_size":"1","best_ask":"{ask}","best_ask_size":"1","side":"buy","time":"2022-08-04T15:25:{:02}.010758Z","trade_id":{seconds},"last_size":"1"}}"#,
        100 + seconds,
        5 + seconds
    )
}

#[test]
fn a_coinbase_exchange_book_that_the_ticker_keeps_denying_is_asked_for_anew() {
    let snapshot = r#"{"type":"snapshot","product_id":"BTC-USD","bids":[["100.5","1"],["100.0","1"]],"asks":[["101.0","1"]]}"#;
    let removed = r#"{"type":"l2update","product_id":"BTC-USD","changes":[["buy","100.5","0"]],"time":"2022-08-04T15:25:05.010758Z"}"#;
    let back = r#"{"type":"l2update","product_id":"BTC-USD","changes":[["buy","100.5","2"]],"time":"2022-08-04T15:25:05.010758Z"}"#;
    // The removal of the best bid was lost; in the other run it only came late.
    for (comes, expected) in [(false, 1), (true, 0)] {
        let (mut session, buffer) = coinbase_exchange();
        session.opened(1, START, "ws://x");
        session.receive(&framed(snapshot), START);
        for second in 1..=11 {
            if comes && second == 9 {
                session.receive(&[removed, back].map(framed).concat(), START + second * SECOND);
            }
            let told = framed(&best_by_ticker(second, "100.0", "101.0"));
            session.receive(&told, START + second * SECOND);
        }
        let rows = drained(&buffer);
        let mismatches = told(&rows, "mismatch");
        assert_eq!(mismatches.len(), expected);
        assert_eq!(
            rows.books.iter().filter(|b| b.header.flags & row::MAYBE_BAD_BOOK != 0).count(),
            0
        );
        if let [(_, detail)] = mismatches[..] {
            let expected =
                "expected the ticker's best prices 100 and 101, found 100.5 and 101 for 10 s";
            assert_eq!(detail, Some(expected));
        }
    }
}

#[test]
fn a_coinbase_exchange_change_that_cannot_be_read_spoils_the_book_that_it_names() {
    let cuts = [
        (r#"{"type":"l2update","product_id":"BTC-USD","changes":[["buy","679"#, true),
        (r#"{"type":"l2update","product_i"#, true),
        (r#"{"type":"l2up"#, true),
        (r#"{"ty"#, true),
        (r#"{"type":"tick"#, false),
        (r#"{"type":"ticker","product_id":"BTC-USD","price":"679"#, false),
    ];
    for (cut, spoils) in cuts {
        spoils_the_book(cut, spoils);
    }
}

fn spoils_the_book(cut: &str, spoils: bool) {
    let (mut session, buffer) = coinbase_exchange();
    session.opened(1, START, "ws://x");
    let snapshot = r#"{"type":"snapshot","product_id":"BTC-USD","bids":[["10101.10","0.45054140"]],"asks":[["10102.55","0.57753524"]]}"#;
    let change = r#"{"type":"l2update","product_id":"BTC-USD","changes":[["buy","10101.00","1.00000000"]],"time":"2022-08-04T15:25:05.010758Z"}"#;
    let frames = [snapshot, cut, change].map(framed).concat();
    let asked = sent(&session.receive(&frames, START));
    let types: Vec<_> = asked.iter().map(|text| text["type"].clone()).collect();
    let expected: &[&str] = if spoils { &["unsubscribe", "subscribe"] } else { &[] };
    assert_eq!(types, expected, "{cut}");
    let rows = drained(&buffer);
    assert_eq!(told(&rows, "undecodable").len(), 1);
    let flags: Vec<_> =
        rows.books.iter().map(|book| book.header.flags & row::MAYBE_BAD_BOOK).collect();
    assert_eq!(flags, [0, if spoils { row::MAYBE_BAD_BOOK } else { 0 }], "{cut}");
}

#[test]
fn a_repeated_ticker_is_a_duplicate_unless_its_quote_had_ended() {
    let (mut session, buffer) = coinbase_exchange();
    let ticker = r#"{"type":"ticker","sequence":37475248783,"product_id":"BTC-USD","price":"1285.22","best_bid":"1285.04","best_bid_size":"0.46688654","best_ask":"1285.27","best_ask_size":"1.56637040","side":"buy","time":"2022-10-19T23:28:22.061769Z","trade_id":370843401,"last_size":"11.4396987"}"#;
    session.opened(1, START, "ws://x");
    session.receive(&[framed(ticker), framed(ticker)].concat(), START);
    session.closed(1, START, "disconnected", "reset");
    session.opened(2, START, "ws://x");
    session.receive(&framed(ticker), START);
    let rows = drained(&buffer);
    let flags: Vec<_> = rows.quotes.iter().map(|quote| quote.header.flags).collect();
    assert_eq!(flags, [0, row::DUPLICATE, row::INVALID, 0]);
}

/// Frames and REST bodies that are read to their end when whole.
const FRAMES: [(&str, &str, &str); 9] = [
    ("kraken-v1", "", BOOK_SNAPSHOT),
    (
        "kraken-v1",
        "",
        r#"[1,{"a":[["5541.3","0.00000000","1534614335.345903","r"]]},{"b":[["5541.2","1.0","1534614335.3"]],"c":"974942666"},"book-10","XBT/USD"]"#,
    ),
    (
        "kraken-v1",
        "",
        r#"[0,["5698.40000","5700.00000","1542057299.545897","1.01234567","0.98765432"],"spread","XBT/USD"]"#,
    ),
    ("kraken-v1", "/0/public/AssetPairs", PAIRS),
    (
        "kraken-v1",
        "/0/public/Ticker",
        r#"{"error":[],"result":{"XXBTZUSD":{"a":["1.1","1","1.0"],"b":["1.0","2","2.0"]}}}"#,
    ),
    (
        "coinbase-exchange",
        "",
        r#"{"type":"l2update","product_id":"BTC-USD","changes":[["buy","22356.270000","0.00000000"]],"time":"2022-08-04T15:25:05.010758Z"}"#,
    ),
    (
        "coinbase-exchange",
        "",
        r#"{"type":"match","trade_id":10,"sequence":50,"time":"2014-11-07T08:19:27.028459Z","product_id":"BTC-USD","size":"5.23512","price":"400.23","side":"sell"}"#,
    ),
    (
        "coinbase-exchange",
        "/products/BTC-USD/book?level=2",
        r#"{"bids":[["1.0","2.0",3]],"asks":[["1.1","2.0",1]],"sequence":7,"time":"2022-08-04T15:25:05.010758Z"}"#,
    ),
    (
        "coinbase-exchange",
        "/products/BTC-USD/trades",
        r#"[{"time":"2014-11-07T22:19:28.578544Z","trade_id":74,"price":"10.00","size":"0.01","side":"buy"}]"#,
    ),
];

proptest! {
    #[test]
    fn no_damaged_frame_panics(
        damages in prop::collection::vec((0usize..FRAMES.len(), any::<usize>(), 0usize..4, ".{0,3}"), 1..6),
    ) {
        let buffer = Arc::new(Buffer::new(100_000));
        let mut sessions = ["kraken-v1", "coinbase-exchange"].map(|venue| {
            (venue, Session::new(Arc::clone(&buffer), venue, Options::default()).expect("a venue"))
        });
        for (which, at, taken, put) in damages {
            let (venue, url, text) = FRAMES[which];
            let mut text = text.to_owned();
            let at = at % text.len();
            text.replace_range(at..(at + taken).min(text.len()), &put);
            for (_, session) in sessions.iter_mut().filter(|(name, _)| *name == venue) {
                match url {
                    "" => session.frame(1, &text, START, 0),
                    _ => session.fetched(1, url, &text, START, 0),
                }
            }
        }
        let rows = drained(&buffer);
        prop_assert_eq!(rows.next_ord as usize, rows.len());
    }
}
