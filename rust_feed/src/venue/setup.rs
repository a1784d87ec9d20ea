//! What a user says of a venue besides the symbols: where it is asked, and markets it does not list.

use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Setup {
    /// The path of the REST address: another one may speak another language.
    pub rest_path: String,
    pub pools: Vec<Pool>,
}

/// A liquidity pool of two tokens.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    pub address: String,
    pub version: Version,
    pub base: String,
    pub quote: String,
    /// Decimal places of base and quote: an amount counts units of the last one.
    pub decimals: [u8; 2],
    /// Of what is paid in, in millionths.
    pub fee: u32,
    /// The base is the pool's second token.
    pub inverted: bool,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    V2,
    V3,
}
