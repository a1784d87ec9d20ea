//! Prices out of what pools hold: exact in integers, and rounded once, to the nearest double.

use num_bigint::BigUint;

use super::abi;
use crate::venue::{Pool, Version};

/// The unit of fees.
const MILLION: u32 = 1_000_000;
/// Bits of a quotient beyond which a double has rounded already.
const QUOTIENT_BITS: i64 = 66;

/// A price as it is before any division.
#[derive(Clone, Debug)]
pub(super) struct Ratio {
    above: BigUint,
    below: BigUint,
}

impl Ratio {
    /// The price of a pool's base from the amounts, in units, of each that are worth the same.
    pub(super) fn of_amounts(pool: &Pool, base: &BigUint, quote: &BigUint) -> Ratio {
        let [base_places, quote_places] = pool.decimals.map(u32::from);
        Ratio { above: quote * power(base_places), below: base * power(quote_places) }
    }

    fn times(&self, above: u32, below: u32) -> Ratio {
        Ratio { above: &self.above * above, below: &self.below * below }
    }

    /// The nearest double; None for nothing, and where nothing is divided by.
    pub(super) fn value(&self) -> Option<f64> {
        let (above, below) = (&self.above, &self.below);
        if above.bits() == 0 || below.bits() == 0 {
            return None;
        }
        let shift = QUOTIENT_BITS + below.bits() as i64 - above.bits() as i64;
        let above = if shift > 0 { above << shift } else { above.clone() };
        let below = if shift < 0 { below << -shift } else { below.clone() };
        let quotient = &above / &below;
        let sticky = u128::from(&quotient * &below != above);
        let bits = u128::try_from(&quotient).ok()? | sticky;
        Some(bits as f64 * 2f64.powi(-shift as i32)).filter(|value| value.is_finite())
    }
}

/// The price of a pool's base after an answer of `slot0()` or `getReserves()`.
pub(super) fn mid(pool: &Pool, answer: &[u8]) -> Option<Ratio> {
    // So much of token0 is worth so much of token1.
    let (amount0, amount1) = match pool.version {
        Version::V2 => (abi::number(answer, 0)?, abi::number(answer, abi::WORD)?),
        Version::V3 => {
            let root = abi::number(answer, 0)?;
            (BigUint::from(1u8) << 192u32, &root * &root)
        }
    };
    let (base, quote) = if pool.inverted { (amount1, amount0) } else { (amount0, amount1) };
    Some(Ratio::of_amounts(pool, &base, &quote))
}

/// What the smallest amount is bought for and sold for: the fee is the spread.
pub(super) fn bid_and_ask(mid: &Ratio, fee: u32) -> Option<(f64, f64)> {
    let kept = MILLION.checked_sub(fee)?;
    Some((mid.times(kept, MILLION).value()?, mid.times(MILLION, kept).value()?))
}

/// Bid and ask around a mid that is a double already.
pub(super) fn around(mid: f64, fee: u32) -> (f64, f64) {
    let kept = 1.0 - f64::from(fee) / f64::from(MILLION);
    (mid * kept, mid / kept)
}

/// Write an amount of units as a decimal number.
pub(super) fn decimal(amount: &BigUint, places: u8) -> String {
    let places = usize::from(places);
    let digits = format!("{amount:0>width$}", width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    if fraction.is_empty() { whole.into() } else { format!("{whole}.{fraction}") }
}

fn power(places: u32) -> BigUint {
    BigUint::from(10u8).pow(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: Pool = Pool {
        address: String::new(),
        version: Version::V3,
        base: String::new(),
        quote: String::new(),
        decimals: [6, 18],
        fee: 500,
        inverted: false,
    };

    /// The root at a price of 4000 USDC for a WETH, as it was worked out apart from this program.
    fn slot0() -> Vec<u8> {
        let root: BigUint = "1252707241875239655932069007848031".parse().unwrap();
        let bytes = root.to_bytes_be();
        [vec![0; 32 - bytes.len()], bytes].concat()
    }

    #[test]
    fn a_price_of_four_thousand_comes_of_its_root() {
        let usdc = mid(&POOL, &slot0()).and_then(|ratio| ratio.value());
        assert!(usdc.is_some_and(|price| (price / 0.00025 - 1.0).abs() < 1e-15), "{usdc:?}");
        let pool = Pool { decimals: [18, 6], inverted: true, ..POOL };
        let weth = mid(&pool, &slot0()).and_then(|ratio| ratio.value());
        assert!(weth.is_some_and(|price| (price / 4000.0 - 1.0).abs() < 1e-15), "{weth:?}");
    }

    #[test]
    fn the_fee_is_the_spread() {
        let pool = Pool { decimals: [0, 0], version: Version::V2, ..POOL };
        let price = Ratio::of_amounts(&pool, &1u8.into(), &4000u32.into());
        assert_eq!(bid_and_ask(&price, 3000), Some((3988.0, 4_000_000.0 / 997.0)));
        assert_eq!(bid_and_ask(&price, MILLION), None);
    }

    #[test]
    fn quotients_round_to_the_nearest_double() {
        let value = |above: &str, below: &str| {
            let number = |text: &str| text.parse::<BigUint>().unwrap();
            Ratio { above: number(above), below: number(below) }.value()
        };
        assert_eq!(value("1", "3"), Some(1.0 / 3.0));
        assert_eq!(value("2", "3"), Some(2.0 / 3.0));
        // Halfway between two doubles, and a little more than that.
        assert_eq!(value("9007199254740993", "1"), Some(9_007_199_254_740_992.0));
        assert_eq!(value("9007199254740993000000001", "1000000000"), Some(9_007_199_254_740_994.0));
        assert_eq!((value("0", "1"), value("1", "0")), (None, None));
    }

    #[test]
    fn amounts_have_as_many_places_as_their_token() {
        assert_eq!(decimal(&1_500_000u32.into(), 6), "1.500000");
        assert_eq!(decimal(&5u8.into(), 18), "0.000000000000000005");
        assert_eq!(decimal(&5u8.into(), 0), "5");
    }
}
