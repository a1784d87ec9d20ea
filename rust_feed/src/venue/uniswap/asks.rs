//! What a node is asked: the state of all pools at one block, and the logs that lead up to it.

use serde_json::{Value, json};

use super::swap::{V2_SWAP, V3_SWAP};
use super::{LIQUIDITY, RESERVES, SLOT0, Uniswap};
use crate::market::Market;
use crate::subscription::{Ask, Fetch};
use crate::venue::{Dialect, Version};

/// Requests in one batch.
const BATCH: usize = 50;
/// Blocks that one request for logs covers.
const LOG_BLOCKS: u64 = 100;
/// Older logs are given up after an outage.
const LOG_BLOCKS_MAX: u64 = 1000;
/// Blocks behind a new head that are asked for one by one, to know their times and hashes.
const BLOCKS_ASKED: u64 = 16;

impl Uniswap {
    pub(super) fn ask_at(&mut self, number: u64, market: &mut Market) {
        let mut requests = Vec::new();
        let tag = format!("{number:#x}");
        for address in self.quoted.clone() {
            let selectors: &[[u8; 4]] = match self.pools.get(&address).map(|pool| pool.version) {
                Some(Version::V2) => &[RESERVES],
                Some(Version::V3) => &[LIQUIDITY, SLOT0],
                None => &[],
            };
            for selector in selectors {
                let data = format!("{:#010x}", u32::from_be_bytes(*selector));
                let call = json!([{"to": address, "data": data}, tag]);
                requests.push(self.request("eth_call", &call));
            }
        }
        if !self.traded.is_empty() {
            let from = self.logs_from(number, market);
            for number in from.max(number.saturating_sub(BLOCKS_ASKED))..number {
                if !self.chain.knows(number) {
                    let block = json!([format!("{number:#x}"), false]);
                    requests.push(self.request("eth_getBlockByNumber", &block));
                }
            }
            let mut next = from;
            while next <= number {
                let last = number.min(next + LOG_BLOCKS - 1);
                requests.push(self.logs_request(next, last));
                next = last + 1;
            }
        }
        for batch in requests.chunks(BATCH) {
            market.asks.push(Ask::Fetch(self.post(batch)));
        }
    }

    /// The first block whose logs are asked for; what is too old by now is told as lost.
    fn logs_from(&mut self, number: u64, market: &mut Market) -> u64 {
        let first = (number + 1).saturating_sub(LOG_BLOCKS_MAX);
        let expected = self.chain.logs_from;
        if expected < first {
            let detail = Some("no trades of the blocks between".into());
            let numbers = [Some(expected), Some(first), Some(first - expected)];
            market.status("connection", None, "polling", "gap", detail, numbers);
            self.chain.logs_from = first;
        }
        self.chain.logs_from
    }

    pub(super) fn logs_request(&mut self, from: u64, to: u64) -> Value {
        let filter = json!([{
            "fromBlock": format!("{from:#x}"),
            "toBlock": format!("{to:#x}"),
            "address": self.traded,
            "topics": [[V2_SWAP, V3_SWAP]],
        }]);
        self.request("eth_getLogs", &filter)
    }

    pub(super) fn request(&mut self, method: &str, params: &Value) -> Value {
        self.next_id += 1;
        json!({"jsonrpc": "2.0", "id": self.next_id, "method": method, "params": params})
    }

    pub(super) fn post(&mut self, requests: &[Value]) -> Fetch {
        let text = match requests {
            [request] => request.to_string(),
            _ => Value::from(requests).to_string(),
        };
        self.sent(&text);
        Fetch { path: String::new(), body: Some(text) }
    }
}
