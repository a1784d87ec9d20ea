//! Swaps as pools log them: a trade, bought where the base leaves the pool.

use num_bigint::BigUint;

use super::price::{Ratio, decimal};
use super::wire::WireLog;
use super::{DecodeError, abi, broken};
use crate::row::{REST, Side, TradeId};
use crate::subscription::Channel;
use crate::tick::TradeTick;
use crate::venue::{Pool, number};

pub(super) const V2_SWAP: &str =
    "0xd78ad95fa46c994b6551d0da85fc275fe613ce37657fb8d5e3d130840159d822";
pub(super) const V3_SWAP: &str =
    "0xc42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67";

/// Read a log of a pool as a trade; None for logs of other events.
pub(super) fn trade(
    pool: &Pool,
    wire: &WireLog,
    block: u64,
    ts_event: Option<i64>,
) -> Result<Option<TradeTick>, DecodeError> {
    let data = abi::bytes(wire.data).ok_or_else(|| broken("data", wire.data))?;
    let paid = match wire.topics.first() {
        Some(&V2_SWAP) => paid_v2(&data),
        Some(&V3_SWAP) => paid_v3(&data),
        _ => return Ok(None),
    };
    let [paid0, paid1] = paid.ok_or_else(|| broken("data", wire.data))?;
    let (base, quote) = if pool.inverted { (paid1, paid0) } else { (paid0, paid1) };
    let index = abi::quantity(wire.log_index).ok_or_else(|| broken("logIndex", wire.log_index))?;
    let mut flags = REST;
    let size = decimal(&base.1, pool.decimals[0]);
    let price = Ratio::of_amounts(pool, &base.1, &quote.1).value();
    Ok(Some(TradeTick {
        channel: Channel::Trade,
        ts_event,
        ts_sent: None,
        price: price.unwrap_or(f64::NAN),
        size: number("amount", &size, &mut flags)?,
        side: Some(if base.0 { Side::Buy } else { Side::Sell }),
        trade_id: Some(TradeId::Text(format!("{}:{index}", wire.transaction_hash).into())),
        seq: Some(block),
        conditions: None,
        flags,
    }))
}

/// What was paid of each token: below 0 what the pool paid out.
type Paid = [(bool, BigUint); 2];

fn paid_v3(data: &[u8]) -> Option<Paid> {
    Some([abi::signed(data, 0)?, abi::signed(data, abi::WORD)?])
}

/// The words are what came in of each token, then what went out.
fn paid_v2(data: &[u8]) -> Option<Paid> {
    let net = |token: usize| {
        let paid_in = abi::number(data, token * abi::WORD)?;
        let paid_out = abi::number(data, (token + 2) * abi::WORD)?;
        let is_out = paid_in < paid_out;
        Some((is_out, if is_out { paid_out - paid_in } else { paid_in - paid_out }))
    };
    Some([net(0)?, net(1)?])
}
