//! A session that polls a scripted node: what it asks next, and what it makes of a changing chain.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rust_feed::buffer::Buffer;
use rust_feed::market::Handover;
use rust_feed::row::{DUPLICATE, INVALID, REST, Rows, Side};
use rust_feed::session::{Action, Options, Session, Wanted};
use serde_json::{Value, json};

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_700_000_000 * SECOND;
const POOL: &str = "0x88e6a0c2ddd26feeb64f039a2c41296fcb3f5640";
const SWAP: &str = "0xc42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67";
/// The root 1252707241875239655932069007848031: 4000 USDC for a WETH.
const ROOT: &str = "0000000000000000000000000000000000003dc36367af18f4967d514e3bf25f";

/// A node with one swap in each block; blocks of another fork have other hashes.
struct Node {
    head: u64,
    fork: &'static str,
    /// The first block of the fork.
    forked: u64,
    liquidity: u64,
    log_blocks: u64,
    chain: &'static str,
}

impl Node {
    fn new(head: u64) -> Self {
        Node { head, fork: "b", forked: u64::MAX, liquidity: 1, log_blocks: 1000, chain: "0x1" }
    }

    fn hash(&self, number: u64) -> String {
        format!("0x{}{number}", if number < self.forked { "a" } else { self.fork })
    }

    fn answer(&self, body: &str) -> String {
        match serde_json::from_str(body).expect("a request") {
            // A node may shuffle a batch.
            Value::Array(asked) => {
                let answers: Vec<Value> = asked.iter().rev().map(|one| self.execute(one)).collect();
                Value::from(answers).to_string()
            }
            asked => self.execute(&asked).to_string(),
        }
    }

    fn execute(&self, asked: &Value) -> Value {
        let first = &asked["params"][0];
        let result = match asked["method"].as_str() {
            Some("eth_chainId") => json!(self.chain),
            Some("eth_getBlockByNumber") => {
                self.block(if first == "latest" { self.head } else { quantity(first) })
            }
            Some("eth_call") => match first["data"].as_str() {
                Some("0x3850c7bd") => json!(format!("0x{ROOT}")),
                _ => json!(format!("0x{:064x}", self.liquidity)),
            },
            _ => {
                let (from, to) = (quantity(&first["fromBlock"]), quantity(&first["toBlock"]));
                if to - from >= self.log_blocks {
                    let error = json!({"code": -32005, "message": "too many results"});
                    return json!({"jsonrpc": "2.0", "id": asked["id"], "error": error});
                }
                (from..=to).map(|number| self.log(number)).collect()
            }
        };
        json!({"jsonrpc": "2.0", "id": asked["id"], "result": result})
    }

    fn block(&self, number: u64) -> Value {
        json!({
            "number": format!("{number:#x}"),
            "hash": self.hash(number),
            "parentHash": self.hash(number - 1),
            "timestamp": format!("{:#x}", 1_700_000_000 + 12 * number),
        })
    }

    /// 4000 USDC go in, one WETH goes out.
    fn log(&self, number: u64) -> Value {
        let paid_out = format!("{:x}", (1u128 << 64) - 1_000_000_000_000_000_000);
        let data =
            [format!("{:064x}", 4_000_000_000u64), format!("{paid_out:f>64}"), "0".repeat(192)];
        json!({
            "address": POOL,
            "topics": [SWAP],
            "data": format!("0x{}", data.concat()),
            "blockNumber": format!("{number:#x}"),
            "blockHash": self.hash(number),
            "transactionHash": "0xff",
            "logIndex": "0x7",
        })
    }
}

fn quantity(value: &Value) -> u64 {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x")).unwrap_or_default();
    u64::from_str_radix(digits, 16).expect("a quantity")
}

/// The session, its rows, and the time of its next poll in seconds.
struct Polled {
    session: Session,
    buffer: Arc<Buffer>,
    handover: Arc<Handover>,
    now_s: i64,
}

impl Polled {
    fn new() -> Self {
        let (buffer, handover) = (Arc::new(Buffer::new(100_000)), Arc::default());
        let session = Polled::session(&buffer, &handover);
        Polled { session, buffer, handover, now_s: 0 }
    }

    fn session(buffer: &Arc<Buffer>, handover: &Arc<Handover>) -> Session {
        let wanted = Wanted { symbol: "ETH-USDC@v3-500".into(), ..Wanted::default() };
        let options = Options { sources: vec![wanted], live: true, ..Options::default() };
        let mut session =
            Session::new(Arc::clone(buffer), "uniswap", options).expect("a known venue");
        session.share(Arc::clone(handover));
        session.fall_back(1, START, "the venue has no WebSocket");
        session
    }

    /// Stop the session, and start another one.
    fn restart(&mut self) {
        self.session.closed(1, START + self.now_s * SECOND, "stopped", "stopped on request");
        self.session = Polled::session(&self.buffer, &self.handover);
    }

    /// Let one poll of `node` come to its end; returns all requests that were made.
    fn poll(&mut self, node: &Node) -> Vec<Value> {
        let mut asked = Vec::new();
        // Follow-ups are paced: within a second all of them have been made.
        for tenth in 0..20 {
            let now_ns = START + self.now_s * SECOND + tenth * SECOND / 10;
            for action in self.session.tick(now_ns) {
                let Action::Fetch(fetch) = action else { continue };
                let body = fetch.body.expect("a POST");
                match serde_json::from_str(&body).expect("JSON") {
                    Value::Array(requests) => asked.extend(requests),
                    request => asked.push(request),
                }
                self.session.fetched(1, "", &node.answer(&body), now_ns, 0);
            }
        }
        self.now_s += 12;
        asked
    }

    fn rows(&mut self) -> Rows {
        self.buffer.drain(Duration::ZERO, Duration::ZERO).map(|d| d.rows).unwrap_or_default()
    }

    /// Numbers of the status rows of a kind: expected, got and count.
    fn told(&mut self, kind: &str) -> Vec<[Option<u64>; 3]> {
        let rows = self.rows();
        let of_kind = rows.statuses.iter().filter(|status| &*status.kind == kind);
        of_kind.map(|status| [status.expected, status.got, status.count]).collect()
    }
}

#[test]
fn a_new_head_is_what_all_is_asked_at_and_a_known_one_asks_nothing() {
    let mut polled = Polled::new();
    let asked = polled.poll(&Node::new(100));
    let calls: Vec<&Value> = asked.iter().filter(|one| one["method"] == "eth_call").collect();
    assert_eq!(calls.len(), 2);
    assert!(calls.iter().all(|call| call["params"][1] == "0x64"));
    assert_eq!(polled.poll(&Node::new(100)).len(), 1);
    let rows = polled.rows();
    let (quote, trade) = (&rows.quotes[0], &rows.trades[0]);
    assert_eq!((rows.quotes.len(), rows.trades.len()), (1, 1));
    assert_eq!((quote.seq, quote.header.ts_event), (Some(100), Some(1_700_001_200 * SECOND)));
    assert!((quote.bid - 3998.0).abs() < 1e-9 && (quote.ask - 4000.0 / 0.9995).abs() < 1e-9);
    assert_eq!((trade.price, trade.size, trade.side), (4000.0, 1.0, Some(Side::Buy)));
    assert_eq!((trade.seq, trade.header.ts_event), (Some(100), Some(1_700_001_200 * SECOND)));
}

#[test]
fn blocks_between_two_polls_give_their_trades_with_their_own_times() {
    let mut polled = Polled::new();
    polled.poll(&Node::new(100));
    polled.poll(&Node::new(103));
    let rows = polled.rows();
    let told: Vec<_> = rows.trades.iter().map(|t| (t.seq, t.header.ts_event)).collect();
    let expected = (100..=103).map(|n| (Some(n), Some((1_700_000_000 + 12 * n as i64) * SECOND)));
    assert_eq!(told, expected.collect::<Vec<_>>());
}

#[test]
fn a_replaced_block_is_told_once_and_its_trades_are_read_again() {
    let mut polled = Polled::new();
    polled.poll(&Node::new(100));
    polled.poll(&Node::new(101));
    polled.rows();
    let forked = |head| Node { forked: 101, ..Node::new(head) };
    polled.poll(&forked(102));
    polled.poll(&forked(103));
    let rows = polled.rows();
    let reorgs: Vec<_> = rows.statuses.iter().filter(|s| &*s.kind == "reorg").collect();
    assert_eq!(reorgs.len(), 1);
    assert_eq!((reorgs[0].expected, reorgs[0].got), (Some(101), Some(102)));
    // The trade of block 100 stood; that of 101 is another one now.
    assert_eq!(rows.trades.iter().map(|t| t.seq).collect::<Vec<_>>(), [101, 102, 103].map(Some));
}

#[test]
fn trades_of_the_last_block_are_repeated_when_another_session_reads_it() {
    let mut polled = Polled::new();
    polled.poll(&Node::new(100));
    polled.restart();
    polled.poll(&Node::new(100));
    polled.poll(&Node::new(101));
    let rows = polled.rows();
    let told: Vec<_> = rows.trades.iter().map(|t| (t.seq, t.header.flags)).collect();
    let expected = [(100, REST), (100, REST | DUPLICATE), (101, REST)];
    assert_eq!(told, expected.map(|(seq, flags)| (Some(seq), flags)));
}

#[test]
fn a_lower_head_is_ignored_and_told_once() {
    let mut polled = Polled::new();
    polled.poll(&Node::new(100));
    assert_eq!(polled.poll(&Node::new(98)).len(), 1);
    assert_eq!(polled.poll(&Node::new(99)).len(), 1);
    assert_eq!(polled.told("head_back"), [[Some(100), Some(98), None]]);
}

#[test]
fn a_range_that_the_node_finds_too_large_is_halved() {
    let mut polled = Polled::new();
    polled.poll(&Node::new(100));
    polled.rows();
    polled.poll(&Node { log_blocks: 30, ..Node::new(200) });
    let rows = polled.rows();
    let mut numbers: Vec<u64> = rows.trades.iter().filter_map(|trade| trade.seq).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (101..=200).collect::<Vec<_>>());
}

#[test]
fn blocks_that_are_too_old_after_an_outage_are_a_gap() {
    let mut polled = Polled::new();
    polled.poll(&Node::new(100));
    polled.poll(&Node::new(5000));
    assert_eq!(polled.told("gap"), [[Some(101), Some(4001), Some(3900)]]);
}

#[test]
fn a_node_of_another_chain_is_told_and_asked_for_no_pools() {
    let mut polled = Polled::new();
    for head in 100..103 {
        let asked = polled.poll(&Node { chain: "0x2105", ..Node::new(head) });
        assert_eq!(asked[0]["method"], "eth_chainId");
        assert_eq!(asked.len(), 2);
    }
    let rows = polled.rows();
    assert!(rows.quotes.is_empty() && rows.trades.is_empty());
    let failed: Vec<_> = rows.statuses.iter().filter(|s| &*s.kind == "fetch_failed").collect();
    let why = "expected a node of Ethereum, chain 0x1, found 0x2105";
    assert_eq!(failed.iter().map(|s| s.detail.as_deref()).collect::<Vec<_>>(), [Some(why)]);
}

#[test]
fn a_pool_that_runs_dry_ends_its_quote() {
    let mut polled = Polled::new();
    polled.poll(&Node::new(100));
    polled.poll(&Node { liquidity: 0, ..Node::new(101) });
    polled.poll(&Node { liquidity: 0, ..Node::new(102) });
    let rows = polled.rows();
    assert_eq!(rows.quotes.len(), 2);
    assert!(rows.quotes[1].bid.is_nan() && rows.quotes[1].header.flags & INVALID != 0);
}

#[test]
fn a_source_whose_chain_stands_still_becomes_stale() {
    let mut polled = Polled::new();
    for _ in 0..5 {
        polled.poll(&Node::new(100));
    }
    let rows = polled.rows();
    let of_symbol = rows.statuses.iter().filter(|s| s.scope == "symbol");
    let shown: Vec<_> = of_symbol.map(|status| status.state).collect();
    assert_eq!(shown, ["initialising", "polling", "stale"]);
}

/// A request, and an answer to it, damaged in places.
fn near_answers() -> impl Strategy<Value = (String, String)> {
    const REQUEST: &str = r#"[{"id":1,"method":"eth_getBlockByNumber","params":["latest",false]},{"id":2,"method":"eth_call","params":[{"to":"0xB4e16d0168e52d35CaCD2c6185b44281Ec28C9Dc","data":"0x0902f1ac"},"0x9"]},{"id":3,"method":"eth_getLogs","params":[{"fromBlock":"0x1","toBlock":"0xff"}]}]"#;
    const ANSWER: &str = r#"[{"id":1,"result":{"number":"0x9","hash":"0xa","parentHash":"0xb","timestamp":"0x65"}},{"id":2,"result":"0x00000000000000000000000000000000000000000000000000000000000000ff0000000000000000000000000000000000000000000000000000000000000001"},{"id":3,"result":[{"address":"0xb4e16d0168e52d35cacd2c6185b44281ec28c9dc","topics":["0xd78ad95fa46c994b6551d0da85fc275fe613ce37657fb8d5e3d130840159d822"],"data":"0x00","blockNumber":"0x9","blockHash":"0xa","transactionHash":"0xc","logIndex":"0x1"}]}]"#;
    let damage = prop::collection::vec((any::<usize>(), "[ -~]{0,3}"), 0..3);
    let damaged = |text: &str, places: &[(usize, String)]| {
        let mut text = text.to_owned();
        for (at, put) in places {
            let at = at % (text.len() - 3);
            text.replace_range(at..at + 3, put);
        }
        text
    };
    (damage.clone(), damage)
        .prop_map(move |(one, other)| (damaged(REQUEST, &one), damaged(ANSWER, &other)))
}

proptest! {
    #[test]
    fn no_answer_of_a_node_panics((request, answer) in near_answers()) {
        let mut polled = Polled::new();
        for _ in 0..2 {
            polled.session.tick(START);
            polled.session.sent(&request);
            polled.session.fetched(1, "", &answer, START, 0);
        }
        polled.rows();
    }
}
