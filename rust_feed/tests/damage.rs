//! What cannot be read or does not come: never taken for a good book.

use std::time::Duration;

use rust_feed::row::{self, Rows};
use rust_feed::session::Action;

mod shared;
use shared::*;

/// Stands in a capture of Coinbase where a size should be.
const GARBAGE: &str = "0.-10000";
/// `zlib.crc32` of `1010` `100000000` `1000` `100000000`: the ask 101.0 × 1, then the bid 100.0 × 1.
const KRAKEN_CHECKSUM: u32 = 1_838_246_772;

/// Whether the last quote of books ended: a bad book has none.
fn book_quote_ended(rows: &Rows) -> bool {
    rows.quotes.iter().rev().find(|q| q.origin == row::Origin::Book).is_some_and(|q| q.bid.is_nan())
}

#[test]
fn a_book_with_an_unreadable_level_is_bad_and_asked_for_again_at_every_venue() {
    let (update, snapshot) = (
        coinbase(1, "update", &[("bid", "100.00", "0"), ("bid", "98.00", GARBAGE)]),
        coinbase(
            0,
            "snapshot",
            &[("bid", "100.00", "1"), ("bid", "99.00", "2"), ("offer", "101.00", "1")],
        ),
    );
    let kraken = |kind: &str, bids: &str, checksum: u32| {
        format!(
            r#"{{"channel":"book","type":"{kind}","data":[{{"symbol":"BTC/USD","bids":[{bids}],"asks":[{{"price":101.0,"qty":1.00000000}}],"checksum":{checksum},"timestamp":"2026-11-30T12:00:00.0Z"}}]}}"#
        )
    };
    let exchange =
        |kind: &str, rest: &str| format!(r#"{{"type":"{kind}","product_id":"BTC-USD",{rest}}}"#);
    let cases = [
        ("coinbase", snapshot, update),
        (
            "coinbase-exchange",
            exchange("snapshot", r#""bids":[["100","1"],["99","2"]],"asks":[["101","1"]]"#),
            exchange(
                "l2update",
                &format!(
                    r#""time":"2026-11-30T12:00:00Z","changes":[["buy","100","0"],["sell","101","{GARBAGE}"]]"#
                ),
            ),
        ),
        (
            "kraken-v1",
            r#"[1,{"as":[["101.0","1.0","1.0"]],"bs":[["100.0","1.0","1.0"]]},"book-25","XBT/USD"]"#
                .to_owned(),
            format!(r#"[1,{{"b":[["99.0","{GARBAGE}","2.0"],["98.0","1.0","2.0"]],"c":"1"}},"book-25","XBT/USD"]"#),
        ),
        (
            "kraken",
            kraken("snapshot", r#"{"price":100.0,"qty":1.00000000}"#, KRAKEN_CHECKSUM),
            kraken("update", r#"{"price":99.0,"qty":1e99},{"price":98.0,"qty":1.0}"#, KRAKEN_CHECKSUM),
        ),
    ];
    for (venue, snapshot, update) in cases {
        let (mut session, buffer) = reader(venue);
        session.frame(1, &snapshot, START, 0);
        let before = drained(&buffer);
        let last = before.books.back().map(|message| message.header.flags & row::MAYBE_BAD_BOOK);
        assert_eq!(last, Some(0), "{venue}: {:?}", kinds(&before));
        session.frame(1, &update, START + 1, 0);
        let rows = drained(&buffer);
        let flags: Vec<u32> =
            rows.books.iter().map(|m| m.header.flags & row::MAYBE_BAD_BOOK).collect();
        assert_eq!(flags, [row::MAYBE_BAD_BOOK], "{venue}");
        assert!(kinds(&rows).contains(&"undecodable".to_owned()), "{venue}");
        assert!(before.quotes.is_empty() || book_quote_ended(&rows), "{venue}");
        assert!(rows.depths.is_empty(), "{venue}");
    }
}

#[test]
fn a_frame_that_cannot_be_read_spoils_the_books_that_it_names_or_else_all() {
    for (damaged, spoiled) in [
        (r#"{"channel":"l2_data","events":[{"product_id":"BTC-USD","upda"#, &["BTC-USD"][..]),
        (r#"{"channel":"l2_data","eve"#, &["BTC-USD", "ETH-USD"]),
        (r#"{"channel":"market_trades","events":[{"trades":[{"product_id":"BTC-USD","pr"#, &[]),
    ] {
        let (mut session, buffer) = reader("coinbase");
        for (sequence, product) in ["BTC-USD", "ETH-USD"].into_iter().enumerate() {
            let levels = [("bid", "100", "1"), ("offer", "101", "1")];
            session.frame(1, &coinbase_of(product, sequence as u64, "snapshot", &levels), START, 0);
        }
        drained(&buffer);
        session.frame(1, damaged, START + 1, 0);
        let drained = buffer.drain(Duration::ZERO, Duration::ZERO).expect("rows");
        let ended = drained.rows.quotes.iter().filter(|quote| quote.bid.is_nan());
        let ended: Vec<&str> = ended
            .filter_map(|quote| quote.header.symbol)
            .map(|name| &*drained.names[name.0 as usize])
            .collect();
        assert_eq!(ended, spoiled, "{damaged}");
    }
}

#[test]
fn a_live_book_that_lost_a_level_is_asked_for_again() {
    let (mut session, buffer) = session("coinbase", &["BTC-USD"], 100_000);
    session.fetched(
        1,
        "/api/v3/brokerage/market/products",
        r#"{"products":[{"product_id":"BTC-USD"}]}"#,
        START,
        0,
    );
    session.opened(1, START, "ws://x");
    session.receive(
        &framed(&coinbase(0, "snapshot", &[("bid", "100", "1"), ("offer", "101", "1")])),
        START + SECOND,
    );
    let mut actions = session
        .receive(&framed(&coinbase(1, "update", &[("bid", "99", GARBAGE)])), START + 2 * SECOND);
    for tenth in 21..40 {
        actions.extend(session.tick(START + tenth * SECOND / 10));
    }
    let asked = |kind: &str| {
        let text = format!(r#""channel":"level2","product_ids":["BTC-USD"],"type":"{kind}""#);
        actions.iter().any(|action| matches!(action, Action::Send(sent) if sent.contains(&text)))
    };
    assert!(asked("unsubscribe") && asked("subscribe"));
    session.receive(
        &framed(&coinbase(2, "snapshot", &[("bid", "98", "1"), ("offer", "101", "1")])),
        START + 4 * SECOND,
    );
    assert_eq!(count(&drained(&buffer), "resync"), 1);
}

#[test]
fn a_book_that_does_not_come_is_reported_and_asked_for_again_with_growing_pauses() {
    for (venue, symbol, accepted) in [
        (
            "kraken",
            "BTC/USD",
            r#"{"method":"subscribe","success":true,"result":{"channel":"book","symbol":"BTC/USD","depth":25}}"#,
        ),
        (
            "coinbase",
            "BTC-USD",
            r#"{"channel":"subscriptions","sequence_num":0,"events":[{"subscriptions":{"level2":["BTC-USD"]}}]}"#,
        ),
        (
            "coinbase-exchange",
            "BTC-USD",
            r#"{"type":"subscriptions","channels":[{"name":"level2_50","product_ids":["BTC-USD"]}]}"#,
        ),
        (
            "kraken-v1",
            "XBT/USD",
            r#"{"event":"subscriptionStatus","status":"subscribed","pair":"XBT/USD","subscription":{"name":"book","depth":25}}"#,
        ),
    ] {
        let (mut session, buffer) = session(venue, &[symbol], 100_000);
        session.opened(1, START, "ws://x");
        for second in 1..6 {
            session.tick(START + second * SECOND);
        }
        session.receive(&framed(accepted), START + 6 * SECOND);
        let mut reported = Vec::new();
        for second in 7..120 {
            let now_ns = START + second * SECOND;
            session.receive(&[0x8a, 0], now_ns);
            session.tick(now_ns);
            if count(&drained(&buffer), "book_missing") > 0 {
                reported.push(second);
            }
        }
        assert_eq!(reported.first(), Some(&16), "{venue}");
        let pauses: Vec<i64> = reported.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(
            pauses.len() >= 3 && pauses.windows(2).all(|pair| pair[0] <= pair[1]),
            "{venue} {pauses:?}"
        );
    }
}

#[test]
fn no_change_is_applied_to_the_best_levels_of_binance() {
    // Partial and whole streams side by side, as captures have them.
    let (mut session, buffer) = reader("binance");
    session.frame(1, r#"{"stream":"btcusdt@depth5@100ms","data":{"lastUpdateId":100,"bids":[["10","1"],["9","1"]],"asks":[["11","1"],["12","1"]]}}"#, START, 0);
    session.frame(1, &depth_update(101, 105, &[("8", "2")]), START + SECOND, 0);
    let body = r#"{"lastUpdateId":106,"bids":[["10","1"],["9","1"],["8","2"],["7","1"]],"asks":[["11","1"]]}"#;
    session.fetched(1, "/api/v3/depth?symbol=BTCUSDT&limit=1000", body, START + 2 * SECOND, 0);
    session.frame(1, &depth_update(107, 110, &[("10", "0"), ("9", "0")]), START + 3 * SECOND, 0);
    let rows = drained(&buffer);
    assert!(rows.depths.back().is_some_and(|depth| depth.bid_prices[..] == [8.0, 7.0]));
    let flags: Vec<u32> = rows.books.iter().map(|message| message.header.flags).collect();
    let last = flags.iter().rev().take(2).copied().collect::<Vec<_>>();
    assert_eq!(last, [0, row::SNAPSHOT | row::REST]);
}

#[test]
fn a_hole_before_the_snapshot_is_reported() {
    let (mut session, buffer) = reader("binance");
    for (first, last) in [(101, 105), (120, 125)] {
        session.frame(1, &depth_update(first, last, &[("8", "2")]), START, 0);
    }
    let gaps: Vec<_> = drained(&buffer)
        .statuses
        .iter()
        .filter(|status| &*status.kind == "gap")
        .map(|status| (status.expected, status.got, status.count))
        .collect();
    assert_eq!(gaps, [(Some(106), Some(120), Some(14))]);
}

#[test]
fn arrays_of_all_symbols_are_counted_and_no_fault() {
    // <https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams#all-market-mini-tickers-stream>
    let ticker = r#"[{"e":"24hrMiniTicker","E":1672515782136,"s":"BNBBTC","c":"0.0025","o":"0.0010","h":"0.0025","l":"0.0010","v":"10000","q":"18"}]"#;
    let (mut session, buffer) = reader("binance");
    session.frame(0, ticker, START, 0);
    session.frame(0, &format!(r#"{{"stream":"!miniTicker@arr","data":{ticker}}}"#), START, 0);
    assert_eq!((session.ignored_frames(), drained(&buffer).len()), (2, 0));
    session.frame(0, &ticker[..40], START, 0);
    assert_eq!(kinds(&drained(&buffer)), ["undecodable"]);
}
