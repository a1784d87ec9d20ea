//! Whole books in a buffer that is full, or nearly so.

use rust_feed::row::{self, BookMessage, Rows};

mod shared;
use shared::*;

#[test]
fn a_full_buffer_is_not_filled_with_whole_books() {
    // Three books of 2,000 levels each, idle, in a buffer of 5,000 rows: all written whole at once,
    // as at the start of a segment, do not fit.
    let products = ["BTC-USD", "ETH-USD", "SOL-USD"];
    let (mut session, buffer) = session("coinbase", &products, 5_000);
    let list: Vec<String> = products.map(|p| format!(r#"{{"product_id":"{p}"}}"#)).into();
    let list = format!(r#"{{"products":[{}]}}"#, list.join(","));
    session.fetched(1, "/api/v3/brokerage/market/products", &list, START, 0);
    session.opened(1, START, "ws://x");
    let prices: Vec<String> = (1..=2000).map(|price: u32| price.to_string()).collect();
    let levels: Vec<(&str, &str, &str)> =
        prices.iter().map(|price| ("bid", &**price, "1")).collect();
    for (sequence, product) in products.into_iter().enumerate() {
        session
            .receive(&framed(&coinbase_of(product, sequence as u64, "snapshot", &levels)), START);
        drained(&buffer);
    }
    session.announce(START + SECOND);
    let mut written = drained(&buffer).books;
    for tenth in 11..=600 {
        session.tick(START + tenth * SECOND / 10);
        written.extend(drained(&buffer).books);
    }
    assert_eq!(buffer.overflows(), 0);
    let whole = row::SNAPSHOT | row::KEYFRAME;
    assert_eq!(
        written.iter().map(|m| (m.header.flags, m.rows())).collect::<Vec<_>>(),
        [(whole, 2001); 3]
    );
}

#[test]
fn books_whose_rows_were_dropped_are_written_whole_once_and_no_others() {
    let (mut session, buffer) = session("binance", &["BTC-USDT", "ETH-USDT"], 40);
    session.opened(1, START, "ws://x");
    let body = r#"{"lastUpdateId":5,"bids":[["1","1"]],"asks":[["2000","1"]]}"#;
    for symbol in ["ETHUSDT", "BTCUSDT"] {
        session.fetched(1, &format!("/api/v3/depth?symbol={symbol}"), body, START, 0);
    }
    drained(&buffer);
    for u in 6..=60 {
        let change = depth_update(u, u, &[("1", "2")]);
        session.receive(&framed(&change), START + u as i64);
    }
    assert!(buffer.overflows() > 0);
    let keyframes = |rows: &Rows| -> Vec<usize> {
        let is_whole = |m: &&BookMessage| m.header.flags & row::KEYFRAME != 0;
        rows.books.iter().filter(is_whole).map(BookMessage::rows).collect()
    };
    // The buffer is full: nothing is added before it was drained.
    session.tick(START + SECOND);
    assert_eq!(keyframes(&drained(&buffer)), [0; 0]);
    session.tick(START + 2 * SECOND);
    assert_eq!(keyframes(&drained(&buffer)), [3]);
    session.tick(START + 3 * SECOND);
    assert_eq!(keyframes(&drained(&buffer)), [0; 0]);
}

#[test]
fn a_snapshot_that_readers_skip_does_not_make_a_cut_book_whole() {
    let (mut session, buffer) = session("binance", &["BTC-USDT"], 8);
    session.opened(1, START, "ws://x");
    let body = r#"{"lastUpdateId":5,"bids":[["1","1"]],"asks":[["2000","1"]]}"#;
    let path = "/api/v3/depth?symbol=BTCUSDT";
    session.fetched(1, path, body, START, 0);
    drained(&buffer);
    let change = |u: u64| framed(&depth_update(u, u, &[(&u.to_string(), "1")]));
    (6..=16).for_each(|u| drop(session.receive(&change(u), START + u as i64)));
    session.fetched(1, path, body, START + 20, 0);
    (17..=18).for_each(|u| drop(session.receive(&change(u), START + 100 + u as i64)));
    let rows = drained(&buffer);
    assert_eq!(count(&rows, "overflow"), 1);
    let of_stream = rows.books.iter().filter(|m| m.header.flags & row::SNAPSHOT == 0);
    assert!(of_stream.into_iter().all(|m| m.header.flags & row::MAYBE_BAD_BOOK != 0));
}
