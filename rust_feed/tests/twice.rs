//! Two connections to the same streams: of each message the first counts, and one may end.

use std::sync::Arc;
use std::time::Duration;

use rust_feed::buffer::Buffer;
use rust_feed::row::Rows;
use rust_feed::session::{Action, Options, Session, Wanted};

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_700_000_000 * SECOND;
const LIST: &str = r#"{"symbols":[{"symbol":"A0USDT","status":"TRADING","baseAsset":"A0","quoteAsset":"USDT","filters":[]}]}"#;
const PAIRS: &str = r#"{"channel":"instrument","type":"snapshot","data":{"assets":[],"pairs":[{"symbol":"A/USD","base":"A","quote":"USD","status":"online","qty_precision":1,"qty_increment":0.1,"price_precision":1,"cost_precision":5,"price_increment":0.1,"cost_min":0.5,"qty_min":1,"marginable":false,"has_index":true}]}}"#;

struct Pair {
    session: Session,
    buffer: Arc<Buffer>,
    now: i64,
}

impl Pair {
    /// Two connections, numbered 1 and 2, that both have been subscribed for more than a second.
    fn joined(venue: &str, symbol: &str, answers: &[&str]) -> Pair {
        let buffer = Arc::new(Buffer::new(100_000));
        let sources = vec![Wanted { symbol: symbol.into(), ..Wanted::default() }];
        let options = Options { sources, live: true, twice: true, ..Options::default() };
        let session = Session::new(Arc::clone(&buffer), venue, options).expect("a known venue");
        let mut pair = Pair { session, buffer, now: START };
        if venue == "binance" {
            pair.session.fetched(0, "/api/v3/exchangeInfo", LIST, START, 0);
        }
        pair.session.opened(1, START, "ws://x");
        for answer in answers {
            pair.first(answer);
            pair.tick();
        }
        pair.pass(SECOND);
        assert!(pair.tick().iter().any(|action| matches!(action, Action::Replace(_))));
        pair.open_second(2, answers);
        pair
    }

    fn open_second(&mut self, conn: u32, answers: &[&str]) {
        self.session.opened_beside(conn, self.now, "ws://y");
        self.first(answers[answers.len() - 1]);
        for answer in answers {
            self.second(answer);
        }
        self.pass(2 * SECOND);
        assert!(!self.session.tick_beside(self.now).contains(&Action::TakeOver));
    }

    fn first(&mut self, text: &str) {
        self.session.receive(&framed(text), self.now);
    }

    fn second(&mut self, text: &str) {
        self.session.receive_beside(&framed(text), self.now);
    }

    /// The first connection is lost, and the second goes on in its place.
    fn lose_first(&mut self) {
        assert_eq!(self.session.lost(self.now, "reset"), [Action::TakeOver]);
        self.session.take_over(self.now);
    }

    fn pass(&mut self, ns: i64) {
        self.now += ns;
    }

    fn stop(&mut self) {
        self.session.closed(1, self.now, "stopped", "on request");
    }

    fn tick(&mut self) -> Vec<Action> {
        self.session.tick(self.now)
    }

    fn rows(&self) -> Rows {
        self.buffer.drain(Duration::ZERO, Duration::ZERO).map(|d| d.rows).unwrap_or_default()
    }
}

fn framed(text: &str) -> Vec<u8> {
    let size = u16::try_from(text.len()).expect("a short text");
    [&[0x81, 126], &size.to_be_bytes()[..], text.as_bytes()].concat()
}

fn kinds(rows: &Rows) -> Vec<&str> {
    let told = |kind: &&str| !matches!(*kind, "subscribed" | "quiet" | "initialising" | "origin");
    rows.statuses.iter().filter(|s| s.scope != "symbol").map(|s| &*s.kind).filter(told).collect()
}

/// How many repeats were left out, by all rows that tell of it.
fn left_out(rows: &Rows) -> u64 {
    let redundant = rows.statuses.iter().filter(|status| &*status.kind == "redundant");
    redundant.filter_map(|status| status.count).sum()
}

mod binance {
    use super::*;

    const ANSWERS: [&str; 1] = [r#"{"result":null,"id":1}"#];

    fn trade(id: u64) -> String {
        format!(
            r#"{{"stream":"a0usdt@trade","data":{{"e":"trade","E":1,"s":"A0USDT","t":{id},"p":"1.0","q":"1.0","T":1,"m":true,"M":true}}}}"#
        )
    }

    fn quote(u: u64) -> String {
        format!(
            r#"{{"stream":"a0usdt@bookTicker","data":{{"u":{u},"s":"A0USDT","b":"1.0","B":"{u}","a":"2.0","A":"1.0"}}}}"#
        )
    }

    fn change(first: u64, last: u64, size: &str) -> String {
        format!(
            r#"{{"stream":"a0usdt@depth@100ms","data":{{"e":"depthUpdate","E":1,"s":"A0USDT","U":{first},"u":{last},"b":[["1.0","{size}"]],"a":[["2.0","{last}"]]}}}}"#
        )
    }

    fn pair() -> Pair {
        Pair::joined("binance", "A0-USDT", &ANSWERS)
    }

    #[test]
    fn whichever_is_ahead_is_taken_and_the_other_left_out_and_counted() {
        let mut pair = pair();
        for id in [1, 2] {
            pair.first(&trade(id));
        }
        for id in 1..=4 {
            pair.second(&trade(id));
        }
        for id in 3..=6 {
            pair.first(&trade(id));
        }
        for u in [7, 9] {
            pair.second(&quote(u));
        }
        for u in [7, 9, 12] {
            pair.first(&quote(u));
        }
        pair.stop();
        let rows = pair.rows();
        let trades = rows.trades.iter().map(|t| (t.seq.unwrap_or(0), t.header.conn));
        assert_eq!(trades.collect::<Vec<_>>(), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 1), (6, 1)]);
        let quotes = rows.quotes.iter().map(|q| (q.seq.unwrap_or(0), q.header.conn));
        assert_eq!(quotes.collect::<Vec<_>>(), [(7, 2), (9, 2), (12, 1), (0, 1)]);
        assert!(rows.trades.iter().all(|trade| trade.header.flags == 0));
        assert_eq!(left_out(&rows), 4 + 2);
        let told = ["connected", "connected", "redundant", "stopped", "stopped"];
        assert_eq!(kinds(&rows), told);
    }

    #[test]
    fn a_book_is_made_of_both_before_its_snapshot_and_after() {
        let mut pair = pair();
        pair.first(&change(1, 3, "1.0"));
        pair.second(&change(1, 3, "1.0"));
        pair.second(&change(4, 5, "2.0"));
        let body = r#"{"lastUpdateId":4,"bids":[["1.0","9.0"]],"asks":[["2.0","4"]]}"#;
        pair.session.fetched(1, "/api/v3/depth?symbol=A0USDT", body, pair.now, 0);
        pair.first(&change(4, 5, "2.0"));
        pair.first(&change(6, 6, "3.0"));
        pair.second(&change(6, 6, "3.0"));
        pair.stop();
        let rows = pair.rows();
        let seqs: Vec<_> = rows.books.iter().map(|b| (b.seq.unwrap_or(0), b.header.conn)).collect();
        // As they came, the whole book, again what that lacks, and on.
        assert_eq!(seqs, [(3, 1), (5, 2), (4, 1), (5, 1), (6, 1)]);
        assert_eq!(left_out(&rows), 3);
        let best = rows.depths.back().map(|depth| depth.bid_sizes[0]);
        assert_eq!(best, Some(3.0));
    }

    #[test]
    fn a_loss_of_either_leaves_no_gap_and_ends_no_quote() {
        let mut pair = pair();
        for id in 1..=3 {
            pair.first(&trade(id));
        }
        pair.first(&quote(5));
        pair.second(&trade(1));
        pair.lose_first();
        // The one that goes on was behind.
        for id in 2..=4 {
            pair.first(&trade(id));
        }
        pair.open_second(3, &ANSWERS);
        pair.second(&trade(4));
        pair.second(&trade(5));
        pair.session.closed_beside(pair.now, "disconnected", "reset");
        for id in 5..=6 {
            pair.first(&trade(id));
        }
        pair.pass(SECOND);
        assert!(pair.tick().iter().any(|action| matches!(action, Action::Replace(_))));
        pair.stop();
        let rows = pair.rows();
        let trades: Vec<_> = rows.trades.iter().filter_map(|trade| trade.seq).collect();
        assert_eq!(trades, [1, 2, 3, 4, 5, 6]);
        let lost = rows.statuses.iter().filter(|s| &*s.kind == "disconnected");
        let lost: Vec<_> = lost.map(|s| (s.header.conn, s.state, s.detail.as_deref())).collect();
        let goes_on = Some("reset; connection 2 goes on");
        assert_eq!(lost, [(1, "connected", goes_on), (3, "connected", goes_on)]);
        assert_eq!(left_out(&rows), 1 + 2 + 1 + 1);
        assert!(!kinds(&rows).contains(&"gap"));
        let quotes: Vec<_> = rows.quotes.iter().map(|quote| quote.bid.is_nan()).collect();
        assert_eq!(quotes, [false, true], "it ends when all is stopped, not before");
    }

    #[test]
    fn what_one_lost_the_other_brings_and_it_is_there_once() {
        let mut pair = pair();
        for id in [1, 2, 4] {
            pair.first(&trade(id));
        }
        for id in 1..=4 {
            pair.second(&trade(id));
        }
        let trades: Vec<_> = pair.rows().trades.iter().filter_map(|trade| trade.seq).collect();
        assert_eq!(trades, [1, 2, 4, 3]);
    }

    #[test]
    fn nothing_is_taken_of_a_second_one_while_the_first_is_silent() {
        let mut pair = pair();
        pair.first(&trade(1));
        pair.lose_first();
        pair.pass(SECOND);
        pair.session.opened_beside(3, pair.now, "ws://y");
        pair.second(ANSWERS[0]);
        pair.pass(5 * SECOND);
        pair.second(&trade(5));
        assert_eq!(pair.rows().trades.len(), 1);
        for id in 2..=4 {
            pair.first(&trade(id));
        }
        pair.session.tick_beside(pair.now);
        let trades: Vec<_> = pair.rows().trades.iter().map(|t| (t.seq, t.header.conn)).collect();
        assert_eq!(trades, [(Some(2), 2), (Some(3), 2), (Some(4), 2), (Some(5), 3)]);
    }

    #[test]
    fn a_second_one_that_is_silent_is_left() {
        let mut pair = pair();
        let mut pings = 0;
        for _ in 0..30 {
            pair.pass(SECOND);
            for action in pair.session.tick_beside(pair.now) {
                match action {
                    Action::Ping => pings += 1,
                    action => return assert!(matches!(action, Action::Reconnect(_)) && pings == 2),
                }
            }
        }
        panic!("expected the second connection to be left");
    }

    #[test]
    fn an_announced_end_is_met_by_the_other() {
        let mut pair = pair();
        pair.first(r#"{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}"#);
        pair.first(&trade(1));
        pair.second(&trade(1));
        assert!(pair.tick().contains(&Action::TakeOver));
        pair.session.take_over(pair.now);
        pair.first(&trade(2));
        let rows = pair.rows();
        assert_eq!(rows.trades.iter().map(|t| t.header.conn).collect::<Vec<_>>(), [1, 2]);
        assert!(!kinds(&rows).contains(&"disconnected"));
    }
}

mod kraken {
    use super::*;

    fn answers() -> Vec<String> {
        let answer = |channel: &str, id: u64| {
            format!(
                r#"{{"method":"subscribe","result":{{"channel":"{channel}","symbol":"A/USD","depth":25}},"success":true,"req_id":{id}}}"#
            )
        };
        vec![PAIRS.into(), answer("ticker", 2), answer("trade", 3), answer("book", 4)]
    }

    fn at(ms: u32) -> String {
        format!("2026-11-27T10:00:00.{ms:03}000Z")
    }

    fn ticker(ms: u32, size: u32) -> String {
        format!(
            r#"{{"channel":"ticker","type":"update","data":[{{"symbol":"A/USD","bid":1.0,"bid_qty":{size}.0,"ask":2.0,"ask_qty":1.0,"last":1.0,"volume":1.0,"vwap":1.0,"low":1.0,"high":1.0,"change":0.0,"change_pct":0.0,"timestamp":"{}"}}]}}"#,
            at(ms)
        )
    }

    /// A book of one bid of this size and one ask, or the change that leads to it.
    fn book(kind: &str, ms: u32, size: u32) -> String {
        // Of the ask and then of the bid: price and size without point, `2.0 1.0` and `1.0 {size}.0`.
        let checksum = crc32fast::hash(format!("201010{size}0").as_bytes());
        format!(
            r#"{{"channel":"book","type":"{kind}","data":[{{"symbol":"A/USD","bids":[{{"price":1.0,"qty":{size}.0}}],"asks":[{{"price":2.0,"qty":1.0}}],"checksum":{checksum},"timestamp":"{}"}}]}}"#,
            at(ms)
        )
    }

    fn pair() -> Pair {
        let answers = answers();
        let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
        Pair::joined("kraken", "A-USD", &answers)
    }

    #[test]
    fn quotes_and_books_are_told_apart_by_their_times() {
        let mut pair = pair();
        pair.first(&book("snapshot", 0, 1));
        pair.second(&book("snapshot", 1, 1));
        for (ms, size) in [(10, 1), (20, 2)] {
            pair.first(&ticker(ms, size));
        }
        // Two of one time, and the second connection is ahead with the next.
        for (ms, size) in [(10, 1), (20, 2), (20, 3), (30, 4)] {
            pair.second(&ticker(ms, size));
        }
        for (ms, size) in [(20, 3), (30, 4)] {
            pair.first(&ticker(ms, size));
        }
        pair.first(&book("update", 10, 2));
        for (ms, size) in [(10, 2), (20, 3)] {
            pair.second(&book("update", ms, size));
        }
        pair.first(&book("update", 20, 3));
        pair.lose_first();
        pair.first(&book("update", 30, 4));
        pair.stop();
        let rows = pair.rows();
        let sizes: Vec<_> = rows.quotes.iter().map(|q| (q.bid_size, q.header.conn)).collect();
        assert_eq!(sizes[..4], [(1.0, 1), (2.0, 1), (3.0, 2), (4.0, 2)]);
        let books: Vec<_> = rows.books.iter().map(|b| (b.levels[0].size, b.header.conn)).collect();
        assert_eq!(books, [(1.0, 1), (2.0, 1), (3.0, 2), (4.0, 2)]);
        assert_eq!(left_out(&rows), 1 + 4 + 2);
        assert!(!kinds(&rows).contains(&"checksum"), "{:?}", kinds(&rows));
        assert!(!kinds(&rows).contains(&"gap"));
    }
}
