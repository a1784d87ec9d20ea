//! Uniswap v2 and v3 <https://docs.uniswap.org>, asked of a node by JSON-RPC or of a subgraph.
//!
//! A pool's state is a price, not a book: the quotes made of it are synthetic, without sizes, and the
//! fee is their spread. All pools are asked at one block; its number is `seq`, its time `ts_event`.
//! Trades are the pools' Swap logs: amounts above 0 are paid in, so the aggressor buys what is below.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::json;

use super::{DecodeError, Dialect, InstrumentList, Profile, Setup, Version, json_error, query};
use crate::market::Market;
use crate::row::{Origin, REST, SYNTHETIC};
use crate::subscription::{Ask, Channel, Fetch, Request};
use crate::tick::{Instrument, Notice, QuoteTick};

mod abi;
mod asks;
mod chain;
mod graph;
mod pools;
mod price;
mod rpc;
mod swap;
mod wire;

use chain::{Block, Chain, Head, Replaced};
use graph::Graph;
use pools::Pools;
use rpc::Asked;
use wire::{Answer, WireBlock, WireLog};

/// Selectors of the functions that are called.
const SLOT0: [u8; 4] = [0x38, 0x50, 0xc7, 0xbd];
const LIQUIDITY: [u8; 4] = [0x1a, 0x68, 0x65, 0x02];
const RESERVES: [u8; 4] = [0x09, 0x02, 0xf1, 0xac];
/// Multicall's `aggregate`: other programs' captures ask for many pools through it.
const AGGREGATE: [u8; 4] = [0x25, 0x2d, 0xba, 0x42];

/// A refused request for the logs of fewer blocks is not tried in halves.
const HALVED_BLOCKS: u64 = 12;

pub const PROFILE: Profile = Profile {
    name: "uniswap",
    ws_url: None,
    ws_path: "",
    rest_url: "https://ethereum-rpc.publicnode.com",
    rest_headers: &[],
    instruments: InstrumentList::None,
    channels: &[Channel::Quote, Channel::Trade],
    default_channels: &[Channel::Quote, Channel::Trade],
    streams_per_connection: 400,
    life_s: None,
    sends_per_second: 1,
    fetches_per_second: 10,
    poll_ms: 12_000,
    key: None,
    closes: false,
    single: Some("it has no WebSocket"),
    ping: None,
    seq_scope: "block",
    quote_seq_grows: false,
    trade_ids_count_up: false,
    book_ranges: false,
    book_truncates: false,
    book_verifiable: false,
    book_quotes: false,
    split: |_| None,
    spell: |base, quote| format!("{base}-{quote}"),
    open: || Box::new(Uniswap::default()),
};

const ETHEREUM: u64 = 1;

#[derive(Default)]
struct Uniswap {
    pools: Pools,
    /// The version whose subgraph is asked in place of a node.
    subgraph: Option<Version>,
    graph: Graph,
    chain: Chain,
    /// The pools whose quotes are wanted, and those whose trades are.
    quoted: Vec<String>,
    traded: Vec<String>,
    /// Pools without liquidity at their price: nothing can be had for it.
    empty: HashSet<String>,
    /// Which chain the node says it is of.
    chain_id: Option<u64>,
    next_id: u64,
    asked: HashMap<u64, Asked>,
}

impl Dialect for Uniswap {
    fn set_up(&mut self, setup: &Setup) -> Vec<Instrument> {
        self.subgraph = graph::version(&setup.rest_path);
        self.pools = pools::known(setup, self.subgraph);
        self.pools.values().map(pools::instrument).collect()
    }

    fn subscribe(&mut self, _wanted: &[(Channel, String)]) -> Vec<Request> {
        Vec::new()
    }

    fn resync(&mut self, _raw_symbols: &[String]) -> Vec<Ask> {
        Vec::new()
    }

    fn poll(&mut self, wanted: &[(Channel, String)]) -> Vec<Fetch> {
        let of = |channel| {
            let symbols = wanted.iter().filter(move |(c, _)| *c == channel);
            symbols.map(|(_, symbol)| symbol.clone()).collect()
        };
        (self.quoted, self.traded) = (of(Channel::Quote), of(Channel::Trade));
        match self.subgraph {
            Some(version) if !self.quoted.is_empty() => {
                vec![Fetch { path: String::new(), body: Some(graph::query(version, &self.quoted)) }]
            }
            Some(_) => Vec::new(),
            None => {
                let mut requests =
                    vec![self.request("eth_getBlockByNumber", &json!(["latest", false]))];
                if self.chain_id != Some(ETHEREUM) {
                    requests.insert(0, self.request("eth_chainId", &json!([])));
                }
                vec![self.post(&requests)]
            }
        }
    }

    fn sent(&mut self, text: &str) {
        rpc::remember(text, &mut self.asked);
    }

    fn decode(&mut self, _frame: &str, market: &mut Market) -> Result<(), DecodeError> {
        market.ignored_frames += 1;
        Ok(())
    }

    fn fetched(&mut self, url: &str, body: &str, market: &mut Market) -> Result<(), DecodeError> {
        let answers: Vec<Answer> =
            if body.trim_start().starts_with('[') { read(body)? } else { vec![read(body)?] };
        let mut known = Vec::new();
        let mut outcome = Ok(());
        for answer in &answers {
            if answer.data.is_some() || answer.errors.is_some() {
                outcome = outcome.and(self.graph.read(answer, &mut self.pools, market));
            } else if let Some(asked) = self.asked_for(url, answer) {
                known.push((asked, answer));
            } else if answer.error.is_some() {
                outcome = outcome.and(Err(rpc::refusal(answer)));
            } else {
                market.ignored_frames += 1;
            }
        }
        // A node may shuffle the answers of a batch.
        known.sort_by(|(one, _), (other, _)| one.order().cmp(&other.order()));
        for (asked, answer) in known {
            outcome = outcome.and(self.answer(&asked, answer, market));
        }
        outcome
    }
}

impl Uniswap {
    fn asked_for(&mut self, url: &str, answer: &Answer) -> Option<Asked> {
        if let (Some(to), Some(data)) = (query(url, "to"), query(url, "data")) {
            return rpc::call(to, data, None);
        }
        self.asked.remove(&rpc::id(answer.id)?)
    }

    fn answer(
        &mut self,
        asked: &Asked,
        answer: &Answer,
        market: &mut Market,
    ) -> Result<(), DecodeError> {
        let Some(result) = answer.result else {
            if let Asked::Logs { from, to } = asked
                && to.saturating_sub(*from) >= HALVED_BLOCKS
            {
                let middle = from + (to - from) / 2;
                let halves = [(*from, middle), (middle + 1, *to)];
                let requests = halves.map(|(from, to)| self.logs_request(from, to));
                market.asks.push(Ask::Fetch(self.post(&requests)));
                return Ok(());
            }
            return Err(rpc::refusal(answer));
        };
        match asked {
            Asked::Chain => {
                let text: &str = read(result.get())?;
                self.chain_id = abi::quantity(text);
                if self.chain_id == Some(ETHEREUM) {
                    return Ok(());
                }
                let found =
                    format!("expected a node of Ethereum, chain {ETHEREUM:#x}, found {text}");
                Err(DecodeError::Refused(found))
            }
            Asked::Block { latest } => {
                let wire: WireBlock = read(result.get())?;
                let block = Block::read(&wire).ok_or_else(|| broken("number", wire.number))?;
                if *latest {
                    self.head(&block, market);
                } else if let Some(replaced) = self.chain.learn(&block) {
                    self.tell(&replaced, market);
                }
                Ok(())
            }
            Asked::Call { to, data, block } => {
                let text: &str = read(result.get())?;
                let result = abi::bytes(text).ok_or_else(|| broken("result", text))?;
                self.state(to, data, &result, *block, market)
            }
            Asked::Logs { from, to } => {
                let logs: Vec<WireLog> = read(result.get())?;
                logs.iter().try_for_each(|wire| self.log(wire, market))?;
                self.chain.logs_came(*from, *to);
                self.traded.iter().for_each(|address| market.unchanged(address));
                Ok(())
            }
        }
    }

    /// Take the latest block; a new one is what all pools are asked at.
    fn head(&mut self, block: &Block, market: &mut Market) {
        let (head, replaced) = self.chain.take_head(block);
        if let Some(replaced) = replaced {
            self.tell(&replaced, market);
        }
        match head {
            // Another chain has other contracts at these addresses.
            Head::New if self.chain_id.is_some_and(|id| id != ETHEREUM) => {}
            Head::New => self.ask_at(block.number, market),
            Head::Behind { expected, told: false } => {
                let detail = Some("a node that is behind answered; its block is ignored".into());
                let numbers = [Some(expected), Some(block.number), None];
                market.status("connection", None, "polling", "head_back", detail, numbers);
            }
            Head::Behind { .. } | Head::Known => {}
        }
    }

    fn tell(&self, replaced: &Replaced, market: &mut Market) {
        let Replaced { number, was, is } = replaced;
        let detail = Some(format!("block {number} was {was} and is {is}"));
        let numbers = [Some(*number), self.chain.head(), None];
        market.status("connection", None, "polling", "reorg", detail, numbers);
    }

    /// Take what a contract answered to a call.
    fn state(
        &mut self,
        to: &str,
        data: &[u8],
        result: &[u8],
        block: Option<u64>,
        market: &mut Market,
    ) -> Result<(), DecodeError> {
        let Some((selector, arguments)) = data.split_first_chunk::<4>() else { return Ok(()) };
        if *selector == AGGREGATE {
            let calls = abi::calls(arguments).ok_or_else(|| broken("data", to))?;
            let (block, answers) = abi::answers(result).ok_or_else(|| broken("result", to))?;
            let calls = calls.into_iter().zip(answers).filter(|((_, data), _)| {
                // One within another would answer for itself.
                !data.starts_with(&AGGREGATE)
            });
            for ((to, data), result) in calls {
                self.state(&to, data, result, Some(block), market)?;
            }
            return Ok(());
        }
        let Some(pool) = self.pools.get(to) else {
            market.ignored_frames += 1;
            return Ok(());
        };
        match (*selector, pool.version) {
            (LIQUIDITY, Version::V3) => {
                if abi::number(result, 0).is_some_and(|liquidity| liquidity.bits() == 0) {
                    self.empty.insert(to.into());
                } else {
                    self.empty.remove(to);
                }
            }
            (SLOT0, Version::V3) | (RESERVES, Version::V2) if result.is_empty() => {
                market.notices.push(Notice::Channel {
                    channel: None,
                    raw_symbol: to.into(),
                    refused: Some("expected a pool at this address, found no contract".into()),
                });
            }
            (SLOT0, Version::V3) | (RESERVES, Version::V2) => {
                let mid = price::mid(pool, result).ok_or_else(|| broken("result", to))?;
                let ts_event = block.and_then(|number| self.chain.time_ns(number));
                match price::bid_and_ask(&mid, pool.fee) {
                    Some(prices) if !self.empty.contains(to) => {
                        quote(to, prices, block, ts_event, market);
                    }
                    _ => market.end_quote(to),
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Take a log as a trade. One that was removed is of a block that was replaced, which the
    /// changed hash tells of.
    fn log(&mut self, wire: &WireLog, market: &mut Market) -> Result<(), DecodeError> {
        let number =
            abi::quantity(wire.block_number).ok_or_else(|| broken("number", wire.block_number))?;
        let address = wire.address.to_ascii_lowercase();
        let Some(pool) = self.pools.get(&address) else { return Ok(()) };
        if wire.removed || !self.chain.is_news(number, wire) {
            return Ok(());
        }
        if let Some(tick) = swap::trade(pool, wire, number, self.chain.time_ns(number))? {
            market.polled_trade(&address, tick);
        }
        Ok(())
    }
}

fn quote(
    address: &str,
    (bid, ask): (f64, f64),
    seq: Option<u64>,
    ts_event: Option<i64>,
    market: &mut Market,
) {
    let (origin, flags) = (Origin::Synthetic, REST | SYNTHETIC);
    market.quote(address, QuoteTick { ts_event, bid, ask, seq, origin, flags, ..<_>::default() });
}

fn broken(field: &'static str, found: &str) -> DecodeError {
    DecodeError::Number { field, found: found.chars().take(40).collect() }
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, DecodeError> {
    serde_json::from_str(text).map_err(|error| json_error("uniswap", text, &error))
}
