//! The bounded buffer: what is dropped when it is full, and what is said of that.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rust_feed::book::BookSide;
use rust_feed::buffer::Buffer;
use rust_feed::row::{self, BookMessage, Clock, Header, Rows, Trade};

fn header(buffer: &Buffer, rows: &mut Rows, message: u64) -> Header {
    let ord = rows.next_ord;
    rows.next_ord += 1;
    let venue = buffer.intern("v");
    Header {
        ord,
        ts_recv: 1,
        ts_event: None,
        ts_sent: None,
        venue,
        symbol: None,
        conn: 0,
        flags: 0,
        message,
    }
}

fn trade(buffer: &Buffer, rows: &mut Rows, message: u64) {
    let header = header(buffer, rows, message);
    rows.trades.push_back(Trade {
        header,
        price: 1.0,
        size: 1.0,
        side: None,
        trade_id: None,
        seq: None,
        conditions: None,
    });
}

fn drained(buffer: &Buffer) -> Rows {
    buffer.drain(Duration::ZERO, Duration::ZERO).map(|drained| drained.rows).unwrap_or_default()
}

#[test]
fn a_full_buffer_drops_whole_messages_and_says_how_many() {
    let buffer = Buffer::new(4);
    let mut rows = Rows::default();
    for message in [0, 0, 0, 1, 1] {
        trade(&buffer, &mut rows, message);
    }
    let clock = header(&buffer, &mut rows, 1);
    rows.clocks.push_back(Clock {
        header: clock,
        offset_ns: 0,
        buffered_rows: 0.0,
        recorder_lag_ms: 0.0,
    });
    buffer.push(&mut rows, 2);
    let rows = drained(&buffer);
    assert_eq!(rows.trades.iter().map(|t| t.header.ord).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(rows.clocks.len(), 1);
    let status = &rows.statuses[0];
    assert_eq!(
        (&*status.kind, status.expected, status.got, status.count),
        ("overflow", Some(0), Some(3), Some(3))
    );
    assert_eq!(status.header.ord, 6);
}

#[test]
fn a_book_that_was_cut_is_marked_until_it_is_whole_again() {
    let buffer = Buffer::new(2);
    let mut rows = Rows::default();
    for (message, flags) in [(0, 0), (1, 0), (2, row::SNAPSHOT), (3, 0)] {
        let header = Header { flags, ..header(&buffer, &mut rows, message) };
        let level = row::BookLevel { side: BookSide::Bid, price: 1.0, size: 1.0, flags: 0 };
        let (seq_first, seq, levels) = (None, None, vec![level].into());
        rows.books.push_back(BookMessage { header, seq_first, seq, clears: false, levels });
        rows.book_rows += 1;
        if message == 1 || message == 3 {
            buffer.push(&mut rows, 4);
            buffer.push(&mut Rows::default(), 0);
        }
        if message == 1 {
            // Two more push the first two out.
            assert_eq!(buffer.overflows(), 0);
        }
    }
    assert_eq!(buffer.overflows(), 1);
    let flags = |rows: &Rows| rows.books.iter().map(|b| b.header.flags).collect::<Vec<_>>();
    assert_eq!(flags(&drained(&buffer)), [row::SNAPSHOT, 0]);
}

#[test]
fn closing_wakes_a_waiting_drain() {
    let buffer = Arc::new(Buffer::new(4));
    let waiting = Arc::clone(&buffer);
    let drain = std::thread::spawn(move || waiting.drain(Duration::from_secs(60), Duration::ZERO));
    buffer.close();
    assert!(drain.join().is_ok_and(|drained| drained.is_none()));
}

proptest! {
    #[test]
    fn rows_are_never_reordered_and_ords_are_whole(sizes in prop::collection::vec(1usize..5, 1..60), capacity in 1usize..40) {
        let buffer = Buffer::new(capacity);
        let (mut pushed, mut seen, mut lost) = (0u64, Vec::new(), 0u64);
        for (turn, size) in sizes.iter().enumerate() {
            let mut rows = Rows::default();
            (0..*size).for_each(|_| trade(&buffer, &mut rows, 0));
            pushed += *size as u64;
            buffer.push(&mut rows, 1);
            if turn % 7 == 6 || turn + 1 == sizes.len() {
                let rows = drained(&buffer);
                pushed += rows.statuses.len() as u64;
                lost += rows.statuses.iter().filter_map(|s| s.count).sum::<u64>();
                seen.extend(rows.trades.iter().map(|t| t.header.ord));
                seen.extend(rows.statuses.iter().map(|s| s.header.ord));
            }
        }
        prop_assert!(seen.windows(2).all(|pair| pair[0] < pair[1]));
        prop_assert_eq!(seen.len() as u64 + lost, pushed);
    }
}
