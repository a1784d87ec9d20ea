//! JSON-RPC and GraphQL as they come, borrowed from the body.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// An answer of either language.
#[derive(Deserialize)]
pub(super) struct Answer<'a> {
    #[serde(borrow)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) result: Option<&'a RawValue>,
    /// An object as the standard wants, or a text.
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) data: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) errors: Option<Vec<WireError<'a>>>,
}

#[derive(Deserialize)]
pub(super) struct WireError<'a> {
    #[serde(borrow)]
    pub(super) message: Cow<'a, str>,
}

#[derive(Deserialize)]
pub(super) struct WireRequest<'a> {
    #[serde(borrow)]
    pub(super) id: Option<&'a RawValue>,
    pub(super) method: &'a str,
    #[serde(borrow)]
    pub(super) params: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct WireCall<'a> {
    pub(super) to: &'a str,
    #[serde(alias = "input")]
    pub(super) data: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireRange<'a> {
    pub(super) from_block: &'a str,
    pub(super) to_block: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireBlock<'a> {
    pub(super) number: &'a str,
    pub(super) hash: &'a str,
    pub(super) parent_hash: &'a str,
    pub(super) timestamp: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireLog<'a> {
    pub(super) address: &'a str,
    #[serde(borrow)]
    pub(super) topics: Vec<&'a str>,
    pub(super) data: &'a str,
    pub(super) block_number: &'a str,
    pub(super) block_hash: &'a str,
    pub(super) transaction_hash: &'a str,
    pub(super) log_index: &'a str,
    #[serde(default)]
    pub(super) removed: bool,
}

#[derive(Deserialize)]
pub(super) struct WireMeta<'a> {
    #[serde(borrow)]
    pub(super) block: WireIndexed<'a>,
}

#[derive(Deserialize)]
pub(super) struct WireIndexed<'a> {
    pub(super) number: u64,
    /// Seconds since 1970, a number or a text.
    #[serde(borrow)]
    pub(super) timestamp: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WirePool<'a> {
    pub(super) id: Option<&'a str>,
    /// Of v3 pools.
    pub(super) fee_tier: Option<&'a str>,
    #[serde(borrow)]
    pub(super) token0: Option<WireToken<'a>>,
    #[serde(borrow)]
    pub(super) token1: Option<WireToken<'a>>,
    /// How much of token0 for one of token1.
    pub(super) token0_price: Option<&'a str>,
    /// How much of token1 for one of token0.
    pub(super) token1_price: Option<&'a str>,
}

#[derive(Deserialize)]
pub(super) struct WireToken<'a> {
    #[serde(borrow)]
    pub(super) symbol: Cow<'a, str>,
    pub(super) decimals: &'a str,
}
