//! Missing trades asked for by REST: what is asked, what an answer becomes, and when it is given up.

use std::sync::Arc;
use std::time::Duration;

use rust_feed::buffer::Buffer;
use rust_feed::row::{BACKFILL, DUPLICATE, GAP, LATE, REST, Rows, SNAPSHOT, TradeId};
use rust_feed::session::{Action, Options, Session, Wanted};

const MS: i64 = 1_000_000;
const START: i64 = 1_700_000_000_000 * MS;

/// A session on an open line, and what it wrote.
struct Line {
    session: Session,
    buffer: Arc<Buffer>,
    now_ns: i64,
}

impl Line {
    fn open(venue: &str, symbol: &str, channel: &str) -> Line {
        let buffer = Arc::new(Buffer::new(100_000));
        let wanted =
            Wanted { symbol: symbol.into(), channels: vec![channel.into()], ..Wanted::default() };
        let sources = vec![wanted];
        let options =
            Options { sources, live: true, raw: true, gap_fill: true, ..Options::default() };
        let session = Session::new(Arc::clone(&buffer), venue, options).expect("a known venue");
        let mut line = Line { session, buffer, now_ns: START };
        line.session.opened(1, START, "ws://x");
        line
    }

    fn take(&mut self, text: &str) {
        let size = u16::try_from(text.len()).expect("a short text");
        let bytes = [&[0x81, 126], &size.to_be_bytes()[..], text.as_bytes()].concat();
        self.session.receive(&bytes, self.now_ns);
    }

    /// Take trades of Binance's.
    fn take_trades(&mut self, ids: &[u64]) {
        for id in ids {
            self.take(&binance_trade(*id));
        }
    }

    /// Let time pass, and return the addresses that were asked for.
    fn pass(&mut self, ms: i64) -> Vec<String> {
        let mut asked = Vec::new();
        for _ in 0..ms / 100 {
            self.now_ns += 100 * MS;
            for action in self.session.tick(self.now_ns) {
                if let Action::Fetch(fetch) = action {
                    asked.push(fetch.path);
                }
            }
        }
        asked
    }

    fn answer(&mut self, url: &str, body: &str) {
        self.session.fetched(1, url, body, self.now_ns, 0);
    }

    fn rows(&self) -> Rows {
        self.buffer.drain(Duration::ZERO, Duration::ZERO).map(|d| d.rows).unwrap_or_default()
    }
}

fn binance_trade(id: u64) -> String {
    format!(
        r#"{{"stream":"bnbbtc@trade","data":{{"e":"trade","E":1672515782136,"s":"BNBBTC","t":{id},"p":"0.001","q":"100","T":1672515782136,"m":true,"M":true}}}}"#
    )
}

/// The documented example of `historicalTrades` with another id.
fn historical(ids: &[u64]) -> String {
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

fn filled(rows: &Rows) -> Vec<(String, [Option<u64>; 3])> {
    let filled = rows.statuses.iter().filter(|status| &*status.kind == "filled");
    filled
        .map(|row| {
            assert_eq!((row.scope, row.channel.as_deref()), ("channel", Some("trade")));
            let detail = row.detail.as_deref().unwrap_or_default();
            (detail.to_owned(), [row.expected, row.got, row.count])
        })
        .collect()
}

/// Only the part of an address that goes over the wire.
fn sent(url: &str) -> &str {
    url.split('#').next().unwrap_or_default()
}

#[test]
fn a_gap_of_binance_is_asked_for_once_it_can_no_longer_be_late_and_filled() {
    let mut line = Line::open("binance", "BNB-BTC", "trade");
    line.take_trades(&[28455, 28458, 28457]);
    assert_eq!(line.pass(900), [""; 0]);
    let asked = line.pass(200);
    assert_eq!(
        asked.iter().map(|url| sent(url)).collect::<Vec<_>>(),
        ["/api/v3/trades?symbol=BNBBTC&limit=203"]
    );
    line.rows();
    line.answer(&asked[0], &historical(&[28454, 28455, 28456, 28457, 28458, 28459]));
    line.take(&binance_trade(28459));
    let rows = line.rows();
    assert_eq!(trades(&rows), [(28456, BACKFILL | REST), (28459, 0)]);
    let trade = &rows.trades[0];
    assert_eq!(trade.header.ts_event, Some(1_499_865_549_590 * MS));
    assert_eq!((trade.price, trade.size), (4.000_001, 12.0));
    let detail = "1 of 1 missing trades (28456 to 28457)".to_owned();
    assert_eq!(filled(&rows), [(detail, [Some(1), Some(1), Some(1)])]);
    assert_eq!(line.pass(30_000), [""; 0]);
}

#[test]
fn a_gap_too_long_ago_for_the_last_trades_is_asked_for_by_id_page_by_page() {
    let mut line = Line::open("binance", "BNB-BTC", "trade");
    line.take_trades(&[1, 2500]);
    let mut paths = Vec::new();
    for ids in [2..1002, 1002..2002, 2002..2501] {
        let asked = line.pass(1000);
        line.answer(&asked[0], &historical(&ids.collect::<Vec<_>>()));
        paths.push(sent(&asked[0]).to_owned());
    }
    let page =
        |from, count| format!("/api/v3/historicalTrades?symbol=BNBBTC&fromId={from}&limit={count}");
    assert_eq!(paths[..2], [page(2, 1000), page(1002, 1000)]);
    assert_eq!(paths[2..], ["/api/v3/trades?symbol=BNBBTC&limit=699"]);
    let rows = line.rows();
    assert_eq!(filled(&rows)[0].1, [Some(2498); 3]);
}

#[test]
fn a_live_trade_that_was_filled_before_is_late_and_counts_once() {
    let mut line = Line::open("binance", "BNB-BTC", "trade");
    line.take_trades(&[7, 10]);
    let asked = line.pass(1000);
    line.answer(&asked[0], &historical(&[8, 9]));
    line.take_trades(&[8, 11]);
    let by_rest = BACKFILL | REST;
    let all = [(7, 0), (10, GAP), (8, by_rest), (9, by_rest), (8, LATE | DUPLICATE), (11, 0)];
    assert_eq!(trades(&line.rows()), all);
}

#[test]
fn what_the_venue_does_not_have_is_asked_for_three_times_and_then_told() {
    let mut line = Line::open("binance", "BNB-BTC", "trade");
    line.take_trades(&[7, 10]);
    for wait_ms in [1000, 2000, 10_000] {
        let asked = line.pass(wait_ms);
        assert_eq!(asked.len(), 1);
        line.answer(&asked[0], &historical(&[7, 10]));
    }
    let detail = "0 of 2 missing trades (8 to 9): the venue has no more of them".to_owned();
    assert_eq!(filled(&line.rows()), [(detail, [Some(2), Some(0), Some(0)])]);
    assert_eq!(line.pass(60_000), [""; 0]);
}

#[test]
fn a_refusal_is_told_at_once_and_a_ban_waited_for() {
    let mut line = Line::open("binance", "BNB-BTC", "trade");
    line.take_trades(&[7, 9]);
    let asked = line.pass(1000);
    let now_ns = line.now_ns;
    line.session.fetch_failed(1, &asked[0], "", "the venue wants to be left in peace", now_ns);
    assert_eq!((filled(&line.rows()).len(), line.pass(9900).len()), (0, 0));
    let asked = line.pass(100);
    line.session.fetch_failed(1, &asked[0], "auth_failed", "HTTP 401", line.now_ns);
    let rows = line.rows();
    assert_eq!(filled(&rows)[0].0, "0 of 1 missing trades (8 to 8): HTTP 401");
    assert!(rows.statuses.iter().any(|status| &*status.kind == "auth_failed"));
}

#[test]
fn more_gaps_than_may_wait_push_out_the_oldest_and_the_end_tells_of_the_rest() {
    let mut line = Line::open("binance", "BNB-BTC", "trade");
    line.take_trades(&(0..34).map(|n| 2 * n + 1).collect::<Vec<_>>());
    let told = filled(&line.rows());
    assert_eq!(told[0].0, "0 of 1 missing trades (2 to 2): more than 32 gaps waited");
    line.session.closed(1, line.now_ns, "stopped", "stopped on request");
    let told: Vec<_> = filled(&line.rows());
    assert_eq!((told.len(), told[31].1), (32, [Some(1), Some(0), Some(0)]));
}

#[test]
fn a_gap_that_waits_when_the_line_breaks_is_asked_for_on_the_next_one() {
    let mut line = Line::open("binance", "BNB-BTC", "trade");
    line.take_trades(&[7, 9]);
    line.session.closed(1, line.now_ns, "disconnected", "reset");
    assert_eq!(line.pass(5000), [""; 0]);
    let actions = line.session.opened(2, line.now_ns, "ws://x");
    let is_fetch = |action: &&Action| matches!(action, Action::Fetch(_));
    assert_eq!(actions.iter().filter(is_fetch).count(), 1);
}

#[test]
fn a_gap_of_kraken_is_asked_for_from_the_trade_before_it() {
    let trade = |id: u64, at: &str| {
        format!(
            r#"{{"channel":"trade","type":"update","data":[{{"symbol":"BTC/USD","side":"buy","price":30243.4,"qty":0.00044780,"ord_type":"limit","trade_id":{id},"timestamp":"2023-07-06T18:53:{at}Z"}}]}}"#
        )
    };
    let mut line = Line::open("kraken", "BTC-USD", "trade");
    line.now_ns += 5000 * MS;
    line.session.tick(line.now_ns);
    line.take(&trade(61_044_951, "16.123456"));
    line.take(&trade(61_044_957, "23.5"));
    let asked = line.pass(1000);
    let since = "/0/public/Trades?pair=BTC/USD&since=1688669596123455000&count=1000";
    assert_eq!(asked.iter().map(|url| sent(url)).collect::<Vec<_>>(), [since]);
    line.rows();
    // The documented example.
    let body = r#"{"error":[],"result":{"XXBTZUSD":[["30243.40000","0.34507674",1688669597.8277369,"b","m","",61044952],["30243.30000","0.00376960",1688669598.2804112,"s","l","",61044953],["30243.30000","0.01235716",1688669602.698379,"s","m","",61044956]],"last":"1688671969993150842"}}"#;
    line.answer(&asked[0], body);
    let rows = line.rows();
    let by_rest = BACKFILL | REST;
    let ids = [61_044_952, 61_044_953, 61_044_956].map(|id| (id, by_rest));
    assert_eq!(trades(&rows), ids);
    assert_eq!(rows.trades[0].header.ts_event, Some(1_688_669_597_827_736_900));
    // Two are still missing: the rest is asked for from the last one before them.
    assert_eq!(filled(&rows), []);
    let asked = line.pass(1000);
    assert!(sent(&asked[0]).contains("since=1688669598280410200"), "{}", asked[0]);
    let refusal = r#"{"error":["EService:Unavailable"]}"#;
    line.answer(&asked[0], refusal);
    for wait_ms in [2000, 10_000] {
        let again = line.pass(wait_ms);
        line.answer(&again[0], refusal);
    }
    let (detail, numbers) = filled(&line.rows()).remove(0);
    let told = "3 of 5 missing trades (61044952 to 61044956): EService:Unavailable";
    assert_eq!((detail.as_str(), numbers), (told, [Some(5), Some(3), Some(3)]));
}

#[test]
fn a_lost_message_of_coinbase_shows_by_its_sequence_and_its_trades_come_by_rest() {
    let message = |sequence: u64, kind: &str, ids: &[u64]| {
        let trade = |id: &u64| {
            format!(
                r#"{{"trade_id":"{id}","product_id":"BTC-USD","price":"68900.50","size":"0.00150000","side":"BUY","time":"2026-04-07T14:30:{:02}.2Z"}}"#,
                id % 60
            )
        };
        let trades: Vec<String> = ids.iter().map(trade).collect();
        format!(
            r#"{{"channel":"market_trades","timestamp":"2026-04-07T14:30:59Z","sequence_num":{sequence},"events":[{{"type":"{kind}","trades":[{}]}}]}}"#,
            trades.join(",")
        )
    };
    let mut line = Line::open("coinbase", "BTC-USD", "trade");
    line.take(&message(0, "snapshot", &[1202, 1201]));
    // Newest first, as the venue has them; ids that jump without a loss are no gap.
    line.take(&message(1, "update", &[1207, 1206]));
    line.take(&message(3, "update", &[1215, 1214]));
    let asked = line.pass(1000);
    let url = "/api/v3/brokerage/market/products/BTC-USD/ticker?limit=100&start=1775572207&end=1775572215";
    assert_eq!(asked.iter().map(|url| sent(url)).collect::<Vec<_>>(), [url]);
    line.rows();
    let trade = |id: u64| {
        format!(
            r#"{{"trade_id":"{id}","product_id":"BTC-USD","price":"68900.50","size":"0.0015","time":"2026-04-07T14:30:{:02}.2Z","side":"SELL","exchange":""}}"#,
            id % 60
        )
    };
    let page = |ids: std::ops::RangeInclusive<u64>| {
        let found: Vec<String> = ids.rev().map(trade).collect();
        format!(r#"{{"trades":[{}],"best_bid":"1","best_ask":"2"}}"#, found.join(","))
    };
    // The newest come first: a page that does not reach the gap is followed by an earlier one.
    line.answer(&asked[0], &page(1213..=1214));
    let asked = line.pass(1000);
    assert!(sent(&asked[0]).ends_with("&start=1775572207&end=1775572214"), "{asked:?}");
    line.answer(&asked[0], &page(1206..=1215));
    let rows = line.rows();
    let by_rest = BACKFILL | REST;
    let filled_ids = [1213].into_iter().chain(1208..=1212);
    assert_eq!(trades(&rows), filled_ids.map(|id| (id, by_rest)).collect::<Vec<_>>());
    assert_eq!(filled(&rows)[0].1, [Some(6); 3]);
    // A new connection repeats the last trades: those that were filled are told as such.
    line.session.opened(2, line.now_ns, "ws://x");
    line.take(&message(0, "snapshot", &[1216, 1215, 1213]));
    let again = DUPLICATE | SNAPSHOT;
    assert_eq!(trades(&line.rows()), [(1213, again), (1215, again), (1216, SNAPSHOT)]);
}

#[test]
fn a_gap_of_coinbase_exchange_is_asked_for_by_the_trade_behind_it() {
    let trade = |id: u64| {
        format!(
            r#"{{"type":"match","trade_id":{id},"sequence":50,"maker_order_id":"a","taker_order_id":"b","time":"2014-11-07T08:19:27.028459Z","product_id":"BTC-USD","size":"5.23512","price":"400.23","side":"sell"}}"#
        )
    };
    let mut line = Line::open("coinbase-exchange", "BTC-USD", "trade");
    for id in [72, 75] {
        line.take(&trade(id));
    }
    let asked = line.pass(1000);
    let path = "/products/BTC-USD/trades?after=75&limit=2";
    assert_eq!(asked.iter().map(|url| sent(url)).collect::<Vec<_>>(), [path]);
    line.rows();
    // The documented example.
    let body = r#"[{"time":"2014-11-07T22:19:28.578544Z","trade_id":74,"price":"10.00000000","size":"0.01000000","side":"buy"},{"time":"2014-11-07T01:08:43.642366Z","trade_id":73,"price":"100.00000000","size":"0.01000000","side":"sell"}]"#;
    line.answer(&asked[0], body);
    let rows = line.rows();
    assert_eq!(trades(&rows), [(73, BACKFILL | REST), (74, BACKFILL | REST)]);
    assert_eq!(rows.trades[0].header.ts_event, Some(1_415_322_523_642_366_000));
    assert_eq!(filled(&rows)[0].1, [Some(2); 3]);
}
