//! What was asked of the node, so that an answer, which names a number only, can be read.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::abi;
use super::wire::{Answer, WireCall, WireRange, WireRequest};
use crate::venue::DecodeError;

/// Requests that may wait for their answers: of more than these the answers are lost.
const ASKED_MAX: usize = 10_000;
/// Characters shown of an error.
const SHOWN: usize = 200;

#[derive(Debug)]
pub(super) enum Asked {
    Chain,
    Block {
        latest: bool,
    },
    Call {
        /// The contract's address, in lower case.
        to: String,
        /// The function's selector and its arguments.
        data: Vec<u8>,
        block: Option<u64>,
    },
    Logs {
        from: u64,
        to: u64,
    },
}

impl Asked {
    /// The order in which answers are read: what says more of the others comes first.
    ///
    /// Blocks tell the times of the rest; `liquidity()`, whose selector is lower, what `slot0()` is worth.
    pub(super) fn order(&self) -> (u8, &[u8], &str) {
        match self {
            Asked::Chain => (0, &[], ""),
            Asked::Block { .. } => (1, &[], ""),
            Asked::Call { data, to, .. } => (2, data, to),
            Asked::Logs { .. } => (3, &[], ""),
        }
    }
}

/// Take note of a request, or of each in a batch.
pub(super) fn remember(text: &str, asked: &mut HashMap<u64, Asked>) {
    let requests: Vec<WireRequest> = if text.trim_start().starts_with('[') {
        serde_json::from_str(text).unwrap_or_default()
    } else {
        serde_json::from_str(text).into_iter().collect()
    };
    for request in &requests {
        if let Some((id, what)) = id(request.id).zip(read(request)) {
            if asked.len() >= ASKED_MAX {
                asked.clear();
            }
            asked.insert(id, what);
        }
    }
}

fn read(request: &WireRequest) -> Option<Asked> {
    if request.method == "eth_chainId" {
        return Some(Asked::Chain);
    }
    let first = request.params.first()?.get();
    match request.method {
        "eth_call" => {
            let WireCall { to, data } = serde_json::from_str(first).ok()?;
            let tag = request.params.get(1).map(|tag| tag.get().trim_matches('"'));
            call(to, data, tag.and_then(abi::quantity))
        }
        "eth_getBlockByNumber" => Some(Asked::Block { latest: first == "\"latest\"" }),
        "eth_getLogs" => {
            let range: WireRange = serde_json::from_str(first).ok()?;
            let (from, to) = (abi::quantity(range.from_block)?, abi::quantity(range.to_block)?);
            Some(Asked::Logs { from, to })
        }
        _ => None,
    }
}

pub(super) fn call(to: &str, data: &str, block: Option<u64>) -> Option<Asked> {
    Some(Asked::Call { to: to.to_ascii_lowercase(), data: abi::bytes(data)?, block })
}

pub(super) fn id(raw: Option<&RawValue>) -> Option<u64> {
    raw?.get().parse().ok()
}

/// The node's error in its own words.
pub(super) fn refusal(answer: &Answer) -> DecodeError {
    let text = answer.error.map_or("no result", RawValue::get);
    DecodeError::Refused(text.trim_matches('"').chars().take(SHOWN).collect())
}
