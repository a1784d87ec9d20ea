//! Numbers that begin anew, or are as large as they can be: reported once, then judged afresh.

use rust_feed::row;

mod shared;
use shared::*;

#[test]
fn numbers_that_begin_anew_on_a_new_connection_are_reported_once() {
    let (mut session, buffer) = session("binance", &["BTC-USDT"], 100_000);
    session.opened(1, START, "ws://x");
    let ms = START / 1_000_000;
    session.receive(&framed(&trade(5_000, ms)), START);
    session.receive(&framed(&book_ticker(9_000)), START);
    session.closed(1, START + SECOND, "disconnected", "wiped");
    session.opened(2, START + 600 * SECOND, "ws://x");
    drained(&buffer);
    for id in 1..=1000 {
        let ms = ms + 600_000 + id;
        session.receive(&framed(&trade(id as u64, ms)), ms * 1_000_000);
        session.receive(&framed(&book_ticker(id as u64)), ms * 1_000_000);
    }
    let rows = drained(&buffer);
    assert_eq!((rows.trades.len(), rows.quotes.len()), (1000, 1000));
    let wrong = row::DUPLICATE | row::LATE | row::GAP;
    assert!(rows.trades.iter().all(|trade| trade.header.flags & wrong == 0));
    assert!(rows.quotes.iter().all(|quote| quote.header.flags & wrong == 0));
    let restarts: Vec<_> =
        rows.statuses.iter().filter(|status| &*status.kind == "restart").collect();
    let numbers: Vec<_> = restarts.iter().map(|status| (status.expected, status.got)).collect();
    assert_eq!(numbers, [(Some(5_001), Some(1)), (Some(9_001), Some(1))]);
    assert_eq!(count(&rows, "duplicate") + count(&rows, "late") + count(&rows, "gap"), 0);
}

#[test]
fn what_a_new_connection_repeats_is_no_restart() {
    let (mut session, buffer) = session("binance", &["BTC-USDT"], 100_000);
    session.opened(1, START, "ws://x");
    let ms = START / 1_000_000;
    for id in 100..110 {
        session.receive(&framed(&trade(id, ms + id as i64)), START);
    }
    session.closed(1, START + SECOND, "disconnected", "x");
    session.opened(2, START + 2 * SECOND, "ws://x");
    drained(&buffer);
    for id in 105..112 {
        session.receive(&framed(&trade(id, ms + id as i64)), START + 3 * SECOND);
    }
    let rows = drained(&buffer);
    let repeated = rows.trades.iter().filter(|trade| trade.header.flags & row::DUPLICATE != 0);
    assert_eq!((repeated.count(), count(&rows, "restart")), (5, 0));
}

#[test]
fn numbers_that_begin_anew_within_a_capture_are_a_restart() {
    let (mut session, buffer) = reader("binance");
    let ms = START / 1_000_000;
    for (id, ms) in [(900_001, ms), (900_002, ms), (1, ms + 100_000), (2, ms + 100_001)] {
        session.frame(0, &trade(id, ms), START, 0);
    }
    let rows = drained(&buffer);
    assert!(rows.trades.iter().all(|trade| trade.header.flags & row::DUPLICATE == 0));
    assert_eq!(count(&rows, "restart"), 1);
}

#[test]
fn a_coinbase_connection_that_begins_anew_within_a_capture_brings_a_new_book() {
    let (mut session, buffer) = reader("coinbase");
    let levels = |bid| [("bid", bid, "1"), ("offer", "300", "1")];
    session.frame(0, &coinbase(0, "snapshot", &levels("100")), START, 0);
    session.frame(0, &coinbase(1, "update", &[("bid", "99", "1")]), START, 0);
    session.frame(0, &coinbase(0, "snapshot", &levels("200")), START + SECOND, 0);
    session.frame(0, &coinbase(1, "update", &[("bid", "201", "1")]), START + SECOND, 0);
    let rows = drained(&buffer);
    assert!(rows.books.iter().all(|message| message.header.flags & row::DUPLICATE == 0));
    let bids: Vec<f64> =
        rows.quotes.iter().map(|quote| quote.bid).filter(|bid| !bid.is_nan()).collect();
    assert_eq!(bids, [100.0, 200.0, 201.0]);
    assert_eq!(count(&rows, "restart"), 1);
}

#[test]
fn one_wild_number_of_a_book_costs_a_new_snapshot_and_no_more() {
    let (mut session, buffer) = reader("binance");
    let snapshot =
        |id: u64| format!(r#"{{"lastUpdateId":{id},"bids":[["1","1"]],"asks":[["9","1"]]}}"#);
    let path = "/api/v3/depth?symbol=BTCUSDT";
    session.fetched(1, path, &snapshot(100), START, 0);
    session.frame(1, &depth_update(101, 101, &[("2", "1")]), START, 0);
    session.frame(1, &depth_update(102, u64::MAX, &[("2", "1")]), START, 0);
    drained(&buffer);
    session.frame(1, &depth_update(103, 103, &[("3", "1")]), START, 0);
    session.frame(1, &depth_update(104, 104, &[("4", "1")]), START, 0);
    session.fetched(1, path, &snapshot(103), START + SECOND, 0);
    let rows = drained(&buffer);
    assert_eq!((count(&rows, "restart"), count(&rows, "duplicate")), (1, 0));
    assert!(rows.depths.back().is_some_and(|depth| depth.bid_prices[..] == [4.0, 1.0]));
}

#[test]
fn the_largest_numbers_are_numbers() {
    for (venue, frames) in [
        (
            "binance",
            vec![
                depth_update(u64::MAX, u64::MAX, &[("1", "1")]),
                trade(u64::MAX, 1),
                trade(u64::MAX, 1),
            ],
        ),
        (
            "coinbase-exchange",
            [1, u64::MAX, u64::MAX]
                .map(|id| {
                    format!(r#"{{"type":"heartbeat","last_trade_id":{id},"product_id":"BTC-USD"}}"#)
                })
                .into(),
        ),
    ] {
        let (mut session, buffer) = reader(venue);
        session.frame(1, r#"{"type":"match","trade_id":1,"price":"1","size":"1","side":"buy","product_id":"BTC-USD"}"#, START, 0);
        for id in [u64::MAX - 1, u64::MAX] {
            let body = format!(r#"{{"lastUpdateId":{id},"bids":[["1","1"]],"asks":[["2","1"]]}}"#);
            session.fetched(1, "/api/v3/depth?symbol=BTCUSDT", &body, START, 0);
            for frame in &frames {
                session.frame(1, frame, START, 0);
            }
        }
        assert_eq!(count(&drained(&buffer), "undecodable"), 0, "{venue}");
    }
}
