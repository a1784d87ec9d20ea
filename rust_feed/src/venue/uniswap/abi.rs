//! The 32-byte words in which contracts take arguments and give answers.

use num_bigint::BigUint;

pub(super) const WORD: usize = 32;

/// Read hexadecimal digits behind `0x` as bytes.
pub(super) fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x")?.as_bytes();
    let value = |digit: &u8| char::from(*digit).to_digit(16).map(|value| value as u8);
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(value(high)? << 4 | value(low)?),
        _ => None,
    };
    digits.chunks(2).map(pair).collect()
}

/// Read a JSON-RPC quantity such as `0x14a2b3c`.
pub(super) fn quantity(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

/// The word at a byte, if it is all there.
pub(super) fn word(data: &[u8], at: usize) -> Option<&[u8]> {
    data.get(at..at.checked_add(WORD)?)
}

pub(super) fn number(data: &[u8], at: usize) -> Option<BigUint> {
    Some(BigUint::from_bytes_be(word(data, at)?))
}

/// A signed number: whether it is below 0, and its size.
pub(super) fn signed(data: &[u8], at: usize) -> Option<(bool, BigUint)> {
    let magnitude = number(data, at)?;
    let negative = magnitude.bit(255);
    let size = if negative { (BigUint::from(1u8) << 256u32) - magnitude } else { magnitude };
    Some((negative, size))
}

/// A number that counts or points within `data`.
fn index(data: &[u8], at: usize) -> Option<usize> {
    usize::try_from(&number(data, at)?).ok().filter(|index| *index <= data.len())
}

/// The address in a word, as JSON-RPC writes it.
fn address(data: &[u8], at: usize) -> Option<String> {
    let digits: Vec<String> =
        word(data, at)?[WORD - 20..].iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("0x{}", digits.concat()))
}

/// Bytes whose length stands before them.
fn counted(data: &[u8], at: usize) -> Option<&[u8]> {
    let from = at.checked_add(WORD)?;
    data.get(from..from.checked_add(index(data, at)?)?)
}

/// The calls that Multicall's `aggregate((address,bytes)[])` was given: whom, and what.
pub(super) fn calls(arguments: &[u8]) -> Option<Vec<(String, &[u8])>> {
    elements(arguments, 0)?
        .into_iter()
        .map(|at| {
            let payload = at.checked_add(index(arguments, at + WORD)?)?;
            Some((address(arguments, at)?, counted(arguments, payload)?))
        })
        .collect()
}

/// What `aggregate` answers: the block's number, and the answer to each call.
pub(super) fn answers(result: &[u8]) -> Option<(u64, Vec<&[u8]>)> {
    let block = u64::try_from(&number(result, 0)?).ok()?;
    let answers = elements(result, WORD)?;
    Some((block, answers.into_iter().map(|at| counted(result, at)).collect::<Option<_>>()?))
}

/// Where the elements begin of the list that the word at `at` points to.
fn elements(data: &[u8], at: usize) -> Option<Vec<usize>> {
    let list = index(data, at)?;
    let first = list.checked_add(WORD)?;
    let count = index(data, list)?;
    (0..count).map(|nth| first.checked_add(index(data, first.checked_add(nth * WORD)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn negative_numbers_fill_the_word_with_ones() {
        // A tick of -1, as int24 sign-extended over the word.
        assert_eq!(signed(&[0xff; 32], 0), Some((true, BigUint::from(1u8))));
        assert_eq!(bytes("0x00ff"), Some(vec![0, 255]));
        for text in ["", "00", "0x0", "0x0g", "0xé1"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(data in prop::collection::vec(prop_oneof![3 => Just(0), 1 => any::<u8>()], 0..300)) {
            let _ = (calls(&data), answers(&data), signed(&data, 0));
        }
    }
}
