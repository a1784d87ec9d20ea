//! Sessions that follow one another: the next one goes on from what the one before knew.

use std::sync::Arc;
use std::time::Duration;

use rust_feed::buffer::Buffer;
use rust_feed::market::Handover;
use rust_feed::row::{BACKFILL, DUPLICATE, GAP, REST, Rows, SNAPSHOT, TradeId};
use rust_feed::session::{Action, Options, Session, Wanted};

const MS: i64 = 1_000_000;
const START: i64 = 1_700_000_000_000 * MS;
const POLLED: &str = "/api/v3/trades?symbol=BNBBTC&limit=1000";

/// Sessions on one buffer, one after the other, and what they wrote.
struct Lines {
    venue: &'static str,
    symbol: &'static str,
    buffer: Arc<Buffer>,
    handover: Arc<Handover>,
    session: Session,
    now_ns: i64,
}

fn session(venue: &str, symbol: &str, buffer: &Arc<Buffer>, handover: &Arc<Handover>) -> Session {
    let channels = vec!["trade".into()];
    let wanted = Wanted { symbol: symbol.into(), channels, ..Wanted::default() };
    let options =
        Options { sources: vec![wanted], live: true, gap_fill: true, ..Options::default() };
    let mut session = Session::new(Arc::clone(buffer), venue, options).expect("a known venue");
    session.share(Arc::clone(handover));
    session
}

impl Lines {
    fn open(venue: &'static str, symbol: &'static str) -> Lines {
        let (buffer, handover) = (Arc::new(Buffer::new(100_000)), Arc::default());
        let session = session(venue, symbol, &buffer, &handover);
        let mut lines = Lines { venue, symbol, buffer, handover, session, now_ns: START };
        lines.session.opened(1, START, "ws://x");
        lines.pass(6000);
        lines
    }

    /// End the session, stopped for good or because another one connects to the same.
    fn stop(&mut self, goes_on: bool) {
        if goes_on {
            self.session.keep(vec![self.symbol.into()], true);
        }
        self.session.closed(1, self.now_ns, "stopped", "stopped on request");
    }

    fn next(&mut self) {
        self.session = session(self.venue, self.symbol, &self.buffer, &self.handover);
    }

    /// Begin the next session on a stream, and return what it asks for.
    fn stream(&mut self) -> Vec<String> {
        self.next();
        let actions = self.session.opened(2, self.now_ns, "ws://x");
        fetched(actions).chain(self.pass(6000)).collect()
    }

    /// Begin the next session by REST alone.
    fn poll(&mut self) {
        self.next();
        self.session.fall_back(2, self.now_ns, "REST was asked for");
        self.pass(6000);
    }

    fn take(&mut self, text: &str) {
        let size = u16::try_from(text.len()).expect("a short text");
        let bytes = [&[0x81, 126], &size.to_be_bytes()[..], text.as_bytes()].concat();
        self.session.receive(&bytes, self.now_ns);
    }

    fn take_trades(&mut self, ids: &[u64]) {
        for id in ids {
            self.take(&trade(*id));
        }
    }

    fn answer(&mut self, url: &str, body: &str) {
        self.session.fetched(2, url, body, self.now_ns, 0);
    }

    fn pass(&mut self, ms: i64) -> Vec<String> {
        let mut asked = Vec::new();
        for _ in 0..ms / 100 {
            self.now_ns += 100 * MS;
            asked.extend(fetched(self.session.tick(self.now_ns)));
        }
        asked
    }

    fn rows(&self) -> Rows {
        self.buffer.drain(Duration::ZERO, Duration::ZERO).map(|d| d.rows).unwrap_or_default()
    }
}

/// The addresses that are to be asked for.
fn fetched(actions: Vec<Action>) -> impl Iterator<Item = String> {
    actions.into_iter().filter_map(|action| match action {
        Action::Fetch(fetch) => Some(fetch.path),
        _ => None,
    })
}

/// The documented example of Binance's trade stream with another id.
fn trade(id: u64) -> String {
    format!(
        r#"{{"stream":"bnbbtc@trade","data":{{"e":"trade","E":1672515782136,"s":"BNBBTC","t":{id},"p":"0.001","q":"100","T":1672515782136,"m":true,"M":true}}}}"#
    )
}

/// The documented example of `trades` with other ids.
fn polled(ids: &[u64]) -> String {
    let trades: Vec<String> = ids
        .iter()
        .map(|id| format!(r#"{{"id":{id},"price":"4.00000100","qty":"12.00000000","quoteQty":"48.000012","time":1499865549590,"isBuyerMaker":true,"isBestMatch":true}}"#))
        .collect();
    format!("[{}]", trades.join(","))
}

fn trades(rows: &Rows) -> Vec<(u64, u32)> {
    let number = |id: &Option<TradeId>| match id {
        Some(TradeId::Number(id)) => *id,
        _ => 0,
    };
    rows.trades.iter().map(|trade| (number(&trade.trade_id), trade.header.flags)).collect()
}

fn numbers(rows: &Rows, kind: &str) -> Vec<[Option<u64>; 3]> {
    let of_kind = rows.statuses.iter().filter(|status| &*status.kind == kind);
    of_kind.map(|row| [row.expected, row.got, row.count]).collect()
}

#[test]
fn what_is_given_out_while_a_source_is_stopped_is_not_missing() {
    let mut lines = Lines::open("binance", "BNB-BTC");
    lines.take_trades(&[7, 8]);
    lines.stop(false);
    lines.stream();
    lines.take_trades(&[8, 20, 21, 23]);
    let rows = lines.rows();
    assert_eq!(trades(&rows), [(7, 0), (8, 0), (8, DUPLICATE), (20, 0), (21, 0), (23, GAP)]);
    assert_eq!(numbers(&rows, "gap"), [[Some(22), Some(23), Some(1)]]);
}

#[test]
fn what_is_given_out_while_a_session_is_replaced_is_missing_and_filled() {
    let mut lines = Lines::open("binance", "BNB-BTC");
    lines.take_trades(&[7, 8]);
    lines.stop(true);
    lines.stream();
    lines.take_trades(&[10]);
    let asked = lines.pass(1200);
    assert_eq!(asked.len(), 1);
    lines.answer(&asked[0], &polled(&[8, 9, 10]));
    let rows = lines.rows();
    assert_eq!(trades(&rows), [(7, 0), (8, 0), (10, GAP), (9, BACKFILL | REST)]);
    assert_eq!(numbers(&rows, "gap"), [[Some(9), Some(10), Some(1)]]);
    assert_eq!(numbers(&rows, "filled"), [[Some(1); 3]]);
}

#[test]
fn a_gap_is_told_filled_once_though_its_session_is_replaced_before_the_answer() {
    let mut lines = Lines::open("binance", "BNB-BTC");
    lines.take_trades(&[7, 9]);
    let asked = lines.pass(1200);
    assert_eq!(asked.len(), 1);
    lines.stop(true);
    // The answer to the session that is gone comes after its end.
    lines.answer(&asked[0], &polled(&[8]));
    let asked = lines.stream();
    lines.take_trades(&[10]);
    lines.answer(asked.last().expect("a request of the next session"), &polled(&[8]));
    let rows = lines.rows();
    assert_eq!(trades(&rows), [(7, 0), (9, GAP), (10, 0), (8, BACKFILL | REST)]);
    assert_eq!(numbers(&rows, "filled"), [[Some(1); 3]]);
}

#[test]
fn a_gap_of_a_source_that_is_stopped_is_given_up_with_the_reason() {
    let mut lines = Lines::open("binance", "BNB-BTC");
    lines.take_trades(&[7, 9]);
    lines.stop(false);
    let rows = lines.rows();
    assert_eq!(numbers(&rows, "filled"), [[Some(1), Some(0), Some(0)]]);
    lines.stream();
    lines.take_trades(&[30]);
    assert!(lines.pass(5000).iter().all(|url| !url.contains("rades")));
}

#[test]
fn rest_goes_on_from_the_stream_and_the_stream_from_rest() {
    let mut lines = Lines::open("binance", "BNB-BTC");
    lines.take_trades(&[7, 8]);
    lines.stop(true);
    lines.poll();
    lines.answer(POLLED, &polled(&[6, 7, 8, 9, 10]));
    lines.stop(true);
    lines.stream();
    lines.take_trades(&[10, 11]);
    let rows = lines.rows();
    let expected = [(7, 0), (8, 0), (9, REST), (10, REST), (10, DUPLICATE), (11, 0)];
    assert_eq!(trades(&rows), expected);
    assert!(numbers(&rows, "gap").is_empty());
}

#[test]
fn polls_go_on_from_polls() {
    let mut lines = Lines::open("binance", "BNB-BTC");
    lines.stop(true);
    for last in [8, 10] {
        lines.poll();
        lines.answer(POLLED, &polled(&(5..=last).collect::<Vec<_>>()));
        lines.stop(last == 8);
    }
    let expected: Vec<_> = (5..=10).map(|id| (id, REST)).collect();
    assert_eq!(trades(&lines.rows()), expected);
}

#[test]
fn what_a_session_receives_after_its_end_on_request_is_left_to_the_next_one() {
    let mut lines = Lines::open("binance", "BNB-BTC");
    lines.take_trades(&[7]);
    lines.stop(true);
    lines.take_trades(&[8]);
    lines.stream();
    lines.take_trades(&[8]);
    assert_eq!(trades(&lines.rows()), [(7, 0), (8, 0)]);
}

#[test]
fn a_snapshot_of_coinbase_repeats_what_the_session_before_brought() {
    let message = |kind: &str, number: u64, ids: &[u64]| {
        let trades: Vec<String> = ids
            .iter()
            .map(|id| format!(r#"{{"trade_id":"{id}","product_id":"ETH-USD","price":"1260.01","size":"0.3","side":"BUY","time":"2019-08-14T20:42:27.265Z"}}"#))
            .collect();
        format!(
            r#"{{"channel":"market_trades","client_id":"","timestamp":"2023-02-09T20:19:35.39625135Z","sequence_num":{number},"events":[{{"type":"{kind}","trades":[{}]}}]}}"#,
            trades.join(",")
        )
    };
    let mut lines = Lines::open("coinbase", "ETH-USD");
    lines.take(&message("snapshot", 0, &[12, 11]));
    lines.stop(false);
    lines.stream();
    lines.take(&message("snapshot", 0, &[13, 12, 11]));
    let (known, repeated) = (SNAPSHOT, SNAPSHOT | DUPLICATE);
    let expected = [(11, known), (12, known), (11, repeated), (12, repeated), (13, known)];
    assert_eq!(trades(&lines.rows()), expected);
}

#[test]
fn a_last_price_of_finnhub_is_told_once_by_stream_or_rest() {
    let mut lines = Lines::open("finnhub", "AAPL");
    let streamed = |price: f64, ms: u64| {
        format!(r#"{{"data":[{{"p":{price},"s":"AAPL","t":{ms},"v":1}}],"type":"trade"}}"#)
    };
    let quote = |price: f64, s: u64| format!(r#"{{"c":{price},"h":2,"l":1,"o":1,"pc":1,"t":{s}}}"#);
    lines.take(&streamed(1.5, 1_575_526_691_134));
    lines.stop(true);
    for prices in
        [[(1.5, 1_575_526_691), (1.6, 1_575_526_691)], [(1.6, 1_575_526_691), (1.6, 1_575_526_700)]]
    {
        lines.poll();
        for (price, s) in prices {
            lines.answer("/api/v1/quote?symbol=AAPL", &quote(price, s));
        }
        lines.stop(true);
    }
    let rows = lines.rows();
    let told: Vec<_> = rows.trades.iter().map(|t| (t.price, t.header.flags)).collect();
    assert_eq!(told, [(1.5, 0), (1.6, REST), (1.6, REST)]);
}
