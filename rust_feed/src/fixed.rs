//! Decimals kept exactly as venues write them: what books are keyed by and checksums are made of.

use crate::scan::{EXACT_MANTISSA, EXACT_POWERS, Scanner, loses_digits};

/// A decimal of at most 18 places as it was written: `mantissa` / 10^`decimals`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Fixed {
    pub mantissa: u64,
    pub decimals: u8,
}

/// Places that a `Fixed` may have; its `key` counts in units of the last of them.
pub(crate) const FIXED_DECIMALS: u8 = 18;
const INTEGER_POWERS: [u64; 19] = {
    let mut powers = [1; 19];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

impl Fixed {
    /// Read an unsigned JSON number, with an exponent or without; None for anything else.
    pub fn parse(text: &str) -> Option<Fixed> {
        let mut scanner = Scanner::new(text.as_bytes());
        match scanner.fixed() {
            Some(fixed) if scanner.rest().is_empty() => Some(fixed),
            _ => Self::parse_any(text),
        }
    }

    fn parse_any(text: &str) -> Option<Fixed> {
        let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let exponent: i32 = exponent.parse().ok().filter(|e| (-40..=40).contains(e))?;
        let ends_in_point = fraction.is_empty() && digits.ends_with('.');
        if whole.is_empty()
            || ends_in_point
            || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit())
        {
            return None;
        }
        let all = format!("{whole}{fraction}");
        let kept = all.trim_end_matches('0');
        let dropped = (all.len() - kept.len()) as i32;
        let mantissa: u64 = if kept.is_empty() { 0 } else { kept.parse().ok()? };
        let decimals = fraction.len() as i32 - exponent - dropped;
        match decimals {
            _ if mantissa == 0 => Some(Fixed::default()),
            0..=18 => Some(Fixed { mantissa, decimals: decimals as u8 }),
            -18..0 => {
                let mantissa = mantissa.checked_mul(INTEGER_POWERS[-decimals as usize])?;
                Some(Fixed { mantissa, decimals: 0 })
            }
            _ => None,
        }
    }

    /// The number in units of 10^-18: equal for equal numbers, however they were written.
    #[inline]
    pub fn key(self) -> u128 {
        let places = usize::from(FIXED_DECIMALS - self.decimals);
        u128::from(self.mantissa) * u128::from(INTEGER_POWERS[places])
    }

    /// The nearest double.
    #[inline]
    pub fn value(self) -> f64 {
        if self.mantissa <= EXACT_MANTISSA {
            return self.mantissa as f64 / EXACT_POWERS[usize::from(self.decimals)];
        }
        self.nearest()
    }

    /// Whether the text had more digits than a double keeps.
    #[inline]
    pub fn is_rounded(self) -> bool {
        self.mantissa > EXACT_MANTISSA && self.is_cut()
    }

    #[cold]
    fn nearest(self) -> f64 {
        format!("{}e-{}", self.mantissa, self.decimals).parse().unwrap_or(f64::NAN)
    }

    #[cold]
    fn is_cut(self) -> bool {
        loses_digits(&self.mantissa.to_string(), self.value())
    }

    /// The digits without point and leading zeros, padded or cut to `precision` places if given.
    #[inline]
    pub fn digits(self, precision: Option<u8>) -> u128 {
        let wanted = precision.unwrap_or(self.decimals).min(FIXED_DECIMALS);
        let power = |places: u8| INTEGER_POWERS[usize::from(places)];
        match wanted.checked_sub(self.decimals) {
            Some(0) => self.mantissa.into(),
            Some(more) => u128::from(self.mantissa) * u128::from(power(more)),
            None => u128::from(self.mantissa / power(self.decimals - wanted)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_numbers_have_equal_keys_however_they_are_written() {
        for text in ["0.566", "0.5660", "566e-3", "0.0566E1"] {
            assert_eq!(Fixed::parse(text).map(Fixed::key), Some(566_000_000_000_000_000), "{text}");
        }
        assert_eq!(Fixed::parse("0.00000000").map(|f| f.mantissa), Some(0));
        assert_eq!(Fixed::parse("12e3").map(|f| (f.mantissa, f.decimals)), Some((12_000, 0)));
        for text in ["", "-1", "1.", ".5", "1e99", "0.1234567890123456789", "x"] {
            assert_eq!(Fixed::parse(text), None, "{text}");
        }
    }

    #[test]
    fn digits_are_those_that_a_checksum_wants() {
        let digits = |text, precision| Fixed::parse(text).map(|f| f.digits(precision));
        assert_eq!(digits("0.00044780", None), Some(44780));
        assert_eq!(digits("18097.1547", Some(8)), Some(1_809_715_470_000));
    }

    proptest! {
        #[test]
        fn fixed_values_equal_the_standard_parser(whole in "[0-9]{1,7}", fraction in "[0-9]{1,12}") {
            let text = format!("{whole}.{fraction}");
            prop_assert_eq!(Fixed::parse(&text).map(Fixed::value), text.parse().ok());
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = Fixed::parse(&text);
        }
    }
}
