//! Numbers and times as venues write them, read from text without losing a digit unnoticed.

use crate::book::Level;
use crate::fixed::{FIXED_DECIMALS, Fixed};

/// Powers of ten that a double holds exactly.
pub(crate) const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];
pub(crate) const EXACT_MANTISSA: u64 = 1 << 53;
const NS: i64 = 1_000_000_000;

/// A number read from its decimal text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decimal {
    pub value: f64,
    /// The text had more digits than a double keeps.
    pub rounded: bool,
}

/// Read a JSON number, or the same text out of a JSON string; nothing else passes.
pub fn decimal(text: &str) -> Option<Decimal> {
    let mut scanner = Scanner::new(text.as_bytes());
    match scanner.plain_decimal() {
        Some(value) if scanner.rest().is_empty() => Some(Decimal { value, rounded: false }),
        _ => any_decimal(text),
    }
}

fn any_decimal(text: &str) -> Option<Decimal> {
    let plain = |b: u8| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E');
    if !text.bytes().all(plain) || !text.bytes().any(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: f64 = text.parse().ok().filter(|value: &f64| value.is_finite())?;
    Some(Decimal { value, rounded: loses_digits(text, value) })
}

pub(crate) fn loses_digits(text: &str, value: f64) -> bool {
    let mantissa = text.split(['e', 'E']).next().unwrap_or("");
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_start_matches('0').trim_end_matches('0');
    if digits.len() <= 15 {
        return false;
    }
    let kept = format!("{value:.*e}", digits.len() - 1);
    let kept: String =
        kept.split('e').next().unwrap_or("").chars().filter(char::is_ascii_digit).collect();
    kept != digits
}

/// Read an epoch time of unknown unit by its size: s, ms, µs or ns since 1970.
pub fn epoch_ns(count: u64) -> Option<i64> {
    let unit: u64 = match count {
        0 => return None,
        1..100_000_000_000 => 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        _ => 1,
    };
    count.checked_mul(unit).and_then(|ns| i64::try_from(ns).ok())
}

/// Read an RFC 3339 time of up to ns; None for what is malformed or before 1970.
pub fn rfc3339_ns(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let part = bytes.get(from..to)?;
        part.iter()
            .try_fold(0, |sum: i64, b| b.is_ascii_digit().then(|| sum * 10 + i64::from(b - b'0')))
    };
    let is = |at: usize, wanted: &[u8]| bytes.get(at).is_some_and(|b| wanted.contains(b));
    if !(is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":")) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1970..2262).contains(&year)
        || !(1..=12).contains(&month)
        || !(1..=days).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    let mut at = 19;
    let mut fraction_ns = 0;
    if is(at, b".") {
        at += 1;
        let mut unit = NS / 10;
        while let Some(digit) = bytes.get(at).filter(|b| b.is_ascii_digit()) {
            fraction_ns += i64::from(digit - b'0') * unit;
            unit /= 10;
            at += 1;
        }
    }
    let offset_s = match bytes.get(at..)? {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), rest @ ..] if rest.len() == 5 && rest[2] == b':' => {
            let size = number(at + 1, at + 3)? * 3600 + number(at + 4, at + 6)? * 60;
            if *sign == b'-' { -size } else { size }
        }
        _ => return None,
    };
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some((seconds - offset_s) * NS + fraction_ns).filter(|ns| *ns >= 0)
}

/// Days of the proleptic Gregorian calendar since 1970-01-01 (Hinnant's `days_from_civil`).
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Walks over the bytes of a frame whose shape is known, and stops at the first surprise.
pub struct Scanner<'a> {
    bytes: &'a [u8],
}

impl<'a> Scanner<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Scanner { bytes }
    }

    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// Pass exactly `wanted`.
    #[inline]
    pub fn literal(&mut self, wanted: &[u8]) -> Option<()> {
        self.bytes = self.bytes.strip_prefix(wanted)?;
        Some(())
    }

    /// Pass printable ASCII up to, and not including, the closing quotation mark.
    #[inline]
    pub fn text(&mut self) -> Option<&'a str> {
        let end = self
            .bytes
            .iter()
            .position(|b| !matches!(b, b' '..=b'~') || matches!(b, b'"' | b'\\'))?;
        let (text, rest) = self.bytes.split_at(end);
        self.bytes = rest;
        std::str::from_utf8(text).ok()
    }

    /// Pass an unsigned integer of at most 19 digits, without leading zeros.
    #[inline]
    pub fn integer(&mut self) -> Option<u64> {
        let mut value: u64 = 0;
        let mut at = 0;
        while let Some(digit) = self.bytes.get(at).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10)
        {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            at += 1;
        }
        if at == 0 || at > 19 || (at > 1 && self.bytes[0] == b'0') {
            return None;
        }
        self.bytes = &self.bytes[at..];
        Some(value)
    }

    /// Pass a decimal without sign or exponent that a double keeps exactly as parsed.
    #[inline]
    pub fn plain_decimal(&mut self) -> Option<f64> {
        let before = self.bytes;
        match self.fixed() {
            Some(fixed) if fixed.mantissa <= EXACT_MANTISSA => Some(fixed.value()),
            _ => {
                self.bytes = before;
                None
            }
        }
    }

    /// Pass a decimal without sign or exponent, of at most 19 digits and 18 places.
    #[inline]
    pub fn fixed(&mut self) -> Option<Fixed> {
        let (mut mantissa, whole) = digits(self.bytes, 0);
        let mut at = whole;
        let mut fraction = 0;
        if whole > 0 && self.bytes.get(at) == Some(&b'.') {
            (mantissa, fraction) = digits(&self.bytes[at + 1..], mantissa);
            at += 1 + fraction;
            if fraction == 0 {
                return None;
            }
        }
        if whole == 0 || whole + fraction > 19 || fraction > usize::from(FIXED_DECIMALS) {
            return None;
        }
        self.bytes = &self.bytes[at..];
        Some(Fixed { mantissa, decimals: fraction as u8 })
    }
}

/// Read the digits that `bytes` begins with behind those of `value`; returns how many there were.
#[inline]
fn digits(bytes: &[u8], mut value: u64) -> (u64, usize) {
    let mut at = 0;
    // Most venues write eight places.
    while let Some(eight) = bytes.get(at..at + 8).and_then(eight_digits) {
        value = value.wrapping_mul(100_000_000).wrapping_add(eight);
        at += 8;
    }
    while let Some(digit) = bytes.get(at).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10) {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    (value, at)
}

/// Read eight digits at once; None if any of the bytes is no digit.
#[inline]
fn eight_digits(bytes: &[u8]) -> Option<u64> {
    let chunk = u64::from_le_bytes(bytes.try_into().ok()?);
    let high = 0xf0f0_f0f0_f0f0_f0f0;
    let above_nine = chunk.wrapping_add(0x0606_0606_0606_0606) & high;
    if (chunk & high) | (above_nine >> 4) != 0x3333_3333_3333_3333 {
        return None;
    }
    let ones = chunk - 0x3030_3030_3030_3030;
    let pairs = ones.wrapping_mul(10).wrapping_add(ones >> 8);
    let mask = 0x0000_00ff_0000_00ff;
    let upper = (pairs & mask).wrapping_mul(100 + (1_000_000 << 32));
    let lower = ((pairs >> 16) & mask).wrapping_mul(1 + (10_000 << 32));
    Some(upper.wrapping_add(lower) >> 32)
}

impl Scanner<'_> {
    /// Pass a JSON array of pairs of texts, `[["price","size"],…]`, adding them to `levels`.
    #[inline]
    pub fn levels(&mut self, levels: &mut Vec<Level>) -> Option<()> {
        self.literal(b"[")?;
        if self.literal(b"]").is_some() {
            return Some(());
        }
        loop {
            self.literal(b"[\"")?;
            let price = self.fixed()?;
            self.literal(b"\",\"")?;
            let size = self.fixed()?;
            self.literal(b"\"]")?;
            levels.push(Level { price, size });
            if self.literal(b",").is_none() {
                return self.literal(b"]");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rfc3339_reads_what_date_prints() {
        // `date -u -d 2026-08-09T21:05:48.228568804Z +%s%N`
        assert_eq!(rfc3339_ns("2026-08-09T21:05:48.228568804Z"), Some(1_786_309_548_228_568_804));
        assert_eq!(rfc3339_ns("2024-02-29T00:00:00Z"), Some(1_709_164_800_000_000_000));
        assert_eq!(rfc3339_ns("2024-02-29T01:30:00.5+01:30"), Some(1_709_164_800_500_000_000));
        assert_eq!(rfc3339_ns("0001-01-01T00:00:00Z"), None);
        for day in ["2023-02-29", "2024-02-30", "2100-02-29", "2024-04-31", "2024-13-01"] {
            assert_eq!(rfc3339_ns(&format!("{day}T00:00:00Z")), None, "{day}");
        }
        assert_eq!(rfc3339_ns("2023-06-23 20:31:56.12 +0000 UTC m=+9"), None);
    }

    #[test]
    fn epochs_are_told_apart_by_size() {
        for text in [1_672_515_782, 1_672_515_782_000, 1_672_515_782_000_000] {
            assert_eq!(epoch_ns(text), Some(1_672_515_782_000_000_000));
        }
        assert_eq!(epoch_ns(0), None);
    }

    #[test]
    fn only_numbers_pass_as_decimals() {
        for text in ["", "inf", "NaN", "-", ".", "1e999", "0x10", "1_0", "٣"] {
            assert_eq!(decimal(text), None, "{text}");
        }
        assert_eq!(decimal("1e-08").map(|d| d.value), Some(1e-8));
    }

    #[test]
    fn digits_that_a_double_drops_are_told() {
        assert!(!decimal("65083.12345678").is_some_and(|d| d.rounded));
        assert!(!decimal("0.1000000000000000000000").is_some_and(|d| d.rounded));
        assert!(decimal("12345678901234567890.5").is_some_and(|d| d.rounded));
        assert!(decimal("0.12345678901234567891").is_some_and(|d| d.rounded));
    }

    proptest! {
        #[test]
        fn decimals_equal_the_standard_parser(whole in "[0-9]{1,12}", fraction in "[0-9]{1,14}") {
            let text = format!("{whole}.{fraction}");
            prop_assert_eq!(decimal(&text).map(|d| d.value), text.parse().ok());
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = (decimal(&text), rfc3339_ns(&text));
        }
    }
}
