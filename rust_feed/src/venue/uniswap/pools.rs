//! The pools that are followed: two that are built in, those of the configuration, and those a
//! subgraph describes.

use std::collections::BTreeMap;

use crate::tick::Instrument;
use crate::venue::{Pool, Setup, Version, asset};

/// What a price is stated in, the first that a pool has.
const QUOTE_ASSETS: [&str; 5] = ["USDT", "USDC", "DAI", "ETH", "BTC"];
/// The fee of every v2 pool.
pub(super) const V2_FEE: u32 = 3000;

/// By address, in lower case.
pub(super) type Pools = BTreeMap<String, Pool>;

/// The pools of `setup` and the built-in ones; a subgraph knows those of one version only.
pub(super) fn known(setup: &Setup, only: Option<Version>) -> Pools {
    let built_in = [
        usdc_weth("0xb4e16d0168e52d35cacd2c6185b44281ec28c9dc", Version::V2, V2_FEE),
        usdc_weth("0x88e6a0c2ddd26feeb64f039a2c41296fcb3f5640", Version::V3, 500),
    ];
    let configured = setup.pools.iter().map(|pool| Pool {
        address: pool.address.to_ascii_lowercase(),
        base: shown(&pool.base),
        quote: shown(&pool.quote),
        ..pool.clone()
    });
    let all = built_in.into_iter().chain(configured);
    all.filter(|pool| only.is_none_or(|version| version == pool.version))
        .map(|pool| (pool.address.clone(), pool))
        .collect()
}

fn usdc_weth(address: &str, version: Version, fee: u32) -> Pool {
    let (address, decimals) = (address.into(), [6, 18]);
    of_tokens(address, version, fee, ["USDC", "WETH"], decimals)
}

/// A pool by its tokens in their own order.
pub(super) fn of_tokens(
    address: String,
    version: Version,
    fee: u32,
    symbols: [&str; 2],
    decimals: [u8; 2],
) -> Pool {
    let [token0, token1] = symbols.map(shown);
    let inverted = rank(&token0) < rank(&token1);
    let (base, quote) = if inverted { (token1, token0) } else { (token0, token1) };
    let decimals = if inverted { [decimals[1], decimals[0]] } else { decimals };
    Pool { address, version, base, quote, decimals, fee, inverted }
}

pub(super) fn instrument(pool: &Pool) -> Instrument {
    Instrument {
        raw_symbol: pool.address.clone(),
        base: pool.base.clone(),
        quote_asset: pool.quote.clone(),
        source: Some(pool.address.clone()),
        suffix: Some(match pool.version {
            Version::V2 => "v2".into(),
            Version::V3 => format!("v3-{}", pool.fee),
        }),
        ..Instrument::default()
    }
}

/// Wrapped coins are shown as what they wrap.
fn shown(symbol: &str) -> String {
    match symbol {
        "WETH" => "ETH".into(),
        "WBTC" => "BTC".into(),
        other => asset(other),
    }
}

fn rank(symbol: &str) -> usize {
    QUOTE_ASSETS.iter().position(|quote| *quote == symbol).unwrap_or(QUOTE_ASSETS.len())
}
