//! Pools out of a subgraph <https://thegraph.com/docs/en/subgraphs/querying/graphql-api/>.
//!
//! `token0Price` is how much of token0 one of token1 costs, in spite of its name. Errors come with
//! HTTP 200. The index lags behind the chain: its own block is the clock.

use std::collections::{BTreeMap, HashMap};

use serde_json::value::RawValue;

use super::pools::{self, Pools, V2_FEE};
use super::wire::{Answer, WireMeta, WirePool};
use super::{DecodeError, broken, price, quote, read};
use crate::market::Market;
use crate::tick::Notice;
use crate::venue::{Pool, Version, number};

/// The subgraph of v2 pairs; every other one is taken for one of v3 pools.
const V2_ID: &str = "A3Np3RQbaBA6oKJgiwDJeo5T3zrYfGHPWFYayMwtNDum";

/// Tell which pools an address has an index of, if that is what it is.
pub(super) fn version(rest_path: &str) -> Option<Version> {
    let (_, id) = rest_path.split_once("/subgraphs/id/")?;
    Some(if id.trim_end_matches('/') == V2_ID { Version::V2 } else { Version::V3 })
}

/// Write the query for the prices of pools; the name of each field tells which pool it is.
pub(super) fn query(version: Version, addresses: &[String]) -> String {
    let (root, fields) = match version {
        Version::V2 => ("pair", "id"),
        Version::V3 => ("pool", "id feeTier"),
    };
    let tokens = "token0{symbol decimals} token1{symbol decimals} token0Price token1Price";
    let field = |address: &String| {
        format!(r#"{FIELD}{address}:{root}(id:"{address}"){{{fields} {tokens}}}"#)
    };
    let pools: Vec<String> = addresses.iter().map(field).collect();
    let text = format!("{{_meta{{block{{number timestamp}}}} {}}}", pools.join(" "));
    serde_json::json!({"query": text}).to_string()
}

/// What stands before the address in the name of a field of ours.
const FIELD: &str = "pool_";

#[derive(Default)]
pub(super) struct Graph {
    /// The block of each pool's last quote.
    quoted: HashMap<String, u64>,
}

impl Graph {
    pub(super) fn read(
        &mut self,
        answer: &Answer,
        pools: &mut Pools,
        market: &mut Market,
    ) -> Result<(), DecodeError> {
        if let Some(error) = answer.errors.as_ref().and_then(|errors| errors.first()) {
            return Err(DecodeError::Refused(error.message.clone().into_owned()));
        }
        let data = answer.data.map_or("{}", RawValue::get);
        let fields: BTreeMap<&str, &RawValue> = read(data)?;
        let meta = fields.get("_meta").map(|meta| read::<WireMeta>(meta.get())).transpose()?;
        for (name, value) in fields {
            match (value.get().as_bytes().first(), name.strip_prefix(FIELD)) {
                _ if name == "_meta" => {}
                (Some(b'['), _) => {
                    let list: Vec<WirePool> = read(value.get())?;
                    for wire in &list {
                        self.pool(wire, meta.as_ref(), pools, market)?;
                    }
                }
                (Some(b'{'), _) => {
                    self.pool(&read(value.get())?, meta.as_ref(), pools, market)?;
                }
                (_, Some(address)) => market.notices.push(Notice::Channel {
                    channel: None,
                    raw_symbol: address.into(),
                    refused: Some("expected a pool in the subgraph, found none".into()),
                }),
                _ => {}
            }
        }
        Ok(())
    }

    fn pool(
        &mut self,
        wire: &WirePool,
        meta: Option<&WireMeta>,
        pools: &mut Pools,
        market: &mut Market,
    ) -> Result<(), DecodeError> {
        let Some(address) = wire.id.map(str::to_ascii_lowercase) else { return Ok(()) };
        if !pools.contains_key(&address) {
            let Some(pool) = described(wire, &address)? else { return Ok(()) };
            market.learn(vec![pools::instrument(&pool)]);
            pools.insert(address.clone(), pool);
        }
        let seq = meta.map(|meta| meta.block.number);
        // An index that stands still says nothing new.
        if seq.is_some() && self.quoted.get(&address) >= seq.as_ref() {
            return Ok(());
        }
        let Some(pool) = pools.get(&address) else { return Ok(()) };
        let told = if pool.inverted { wire.token0_price } else { wire.token1_price };
        let Some(text) = told else { return Ok(()) };
        // The quote is worked out anyway: digits that are lost here are no loss of the wire's.
        let mid = number("price", text, &mut 0)?;
        if mid > 0.0 {
            let ts_event = meta.and_then(|meta| time_ns(meta.block.timestamp?.get()));
            quote(&address, price::around(mid, pool.fee), seq, ts_event, market);
        } else {
            market.end_quote(&address);
        }
        self.quoted.extend(seq.map(|seq| (address, seq)));
        Ok(())
    }
}

/// A pool as the subgraph describes it, if it does.
fn described(wire: &WirePool, address: &str) -> Result<Option<Pool>, DecodeError> {
    let (Some(token0), Some(token1)) = (&wire.token0, &wire.token1) else { return Ok(None) };
    let (version, fee) = match wire.fee_tier {
        Some(fee) => (Version::V3, fee.parse().map_err(|_| broken("feeTier", fee))?),
        None => (Version::V2, V2_FEE),
    };
    let places = |text: &str| text.parse().map_err(|_| broken("decimals", text));
    let decimals = [places(token0.decimals)?, places(token1.decimals)?];
    let symbols = [&*token0.symbol, &*token1.symbol];
    Ok(Some(pools::of_tokens(address.into(), version, fee, symbols, decimals)))
}

fn time_ns(text: &str) -> Option<i64> {
    text.trim_matches('"').parse::<i64>().ok()?.checked_mul(1_000_000_000)
}
