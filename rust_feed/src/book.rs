//! One instrument's order book: levels keyed by exact price, the best of each side at hand.

use crate::fixed::Fixed;

/// Levels per side that Kraken's checksum covers.
const CHECKSUM_LEVELS: usize = 10;

/// A price and the total size there, as the venue wrote them; size 0 removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    pub price: Fixed,
    pub size: Fixed,
}

/// The levels of one wire message, in wire order.
#[derive(Clone, Debug, Default)]
pub struct Levels {
    pub bids: Vec<Level>,
    pub asks: Vec<Level>,
}

impl Levels {
    pub fn clear(&mut self) {
        self.bids.clear();
        self.asks.clear();
    }

    pub fn len(&self) -> usize {
        self.bids.len() + self.asks.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookSide {
    Bid,
    Ask,
}

impl BookSide {
    pub fn text(self) -> &'static str {
        match self {
            BookSide::Bid => "bid",
            BookSide::Ask => "ask",
        }
    }
}

/// The levels of one side. The best stands last, where most changes happen.
#[derive(Clone, Debug)]
pub struct Side {
    side: BookSide,
    /// Grows towards the best price, on both sides.
    keys: Vec<u128>,
    levels: Vec<Level>,
}

impl Side {
    fn new(side: BookSide) -> Self {
        Side { side, keys: Vec::new(), levels: Vec::new() }
    }

    pub fn len(&self) -> usize {
        self.levels.len()
    }

    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    pub fn best(&self) -> Option<&Level> {
        self.levels.last()
    }

    /// The levels, the best first.
    pub fn iter(&self) -> impl Iterator<Item = &Level> + Clone {
        self.levels.iter().rev()
    }

    /// Put a level in place, or take it away; returns its rank, the best being 0.
    ///
    /// Removing a level that is not there changes nothing: venues send such removals routinely.
    pub fn set(&mut self, level: Level) -> usize {
        let key = self.key(level.price);
        match (self.find(key), level.size.mantissa) {
            (Ok(at), 0) => {
                self.keys.remove(at);
                self.levels.remove(at);
                self.levels.len() - at
            }
            (Err(_), 0) => usize::MAX,
            (Ok(at), _) => {
                self.levels[at] = level;
                self.levels.len() - at - 1
            }
            (Err(at), _) => {
                self.keys.insert(at, key);
                self.levels.insert(at, level);
                self.levels.len() - at - 1
            }
        }
    }

    /// Take `levels` instead of all there was; of several at one price the last counts.
    fn replace(&mut self, levels: &[Level]) {
        let mut sorted: Vec<(u128, Level)> =
            levels.iter().rev().map(|level| (self.key(level.price), *level)).collect();
        // Stable, and reversed before: of equal prices the last on the wire comes first.
        if !sorted.is_sorted_by(|a, b| a.0 < b.0) {
            sorted.sort_by_key(|(key, _)| *key);
            sorted.dedup_by_key(|(key, _)| *key);
        }
        sorted.retain(|(_, level)| level.size.mantissa != 0);
        self.keys.clear();
        self.levels.clear();
        self.keys.extend(sorted.iter().map(|(key, _)| *key));
        self.levels.extend(sorted.iter().map(|(_, level)| *level));
    }

    /// Cut off what lies beyond the `depth` best; returns it, the worst first.
    fn truncate(&mut self, depth: usize) -> Vec<Level> {
        let excess = self.levels.len().saturating_sub(depth);
        self.keys.drain(..excess);
        self.levels.drain(..excess).collect()
    }

    fn key(&self, price: Fixed) -> u128 {
        match self.side {
            BookSide::Bid => price.key(),
            BookSide::Ask => !price.key(),
        }
    }

    /// Search from the best end in growing steps: what changes is mostly near it.
    #[inline]
    fn find(&self, key: u128) -> Result<usize, usize> {
        let (mut above, mut step) = (self.keys.len(), 4);
        let mut below = above.saturating_sub(step);
        while below > 0 && self.keys[below] > key {
            above = below;
            step *= 4;
            below = above.saturating_sub(step);
        }
        let found = self.keys[below..above].binary_search(&key);
        found.map(|at| at + below).map_err(|at| at + below)
    }
}

/// Both sides of a book.
#[derive(Clone, Debug)]
pub struct Book {
    pub bids: Side,
    pub asks: Side,
}

impl Default for Book {
    fn default() -> Self {
        Book { bids: Side::new(BookSide::Bid), asks: Side::new(BookSide::Ask) }
    }
}

impl Book {
    pub fn len(&self) -> usize {
        self.bids.len() + self.asks.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn replace(&mut self, levels: &Levels) {
        self.bids.replace(&levels.bids);
        self.asks.replace(&levels.asks);
    }

    /// Apply changes in wire order; returns the best rank that any of them touched.
    pub fn apply(&mut self, levels: &Levels) -> usize {
        let mut rank = usize::MAX;
        for level in &levels.bids {
            rank = rank.min(self.bids.set(*level));
        }
        for level in &levels.asks {
            rank = rank.min(self.asks.set(*level));
        }
        rank
    }

    /// Cut both sides to `depth`; returns what fell off.
    pub fn truncate(&mut self, depth: usize) -> Levels {
        Levels { bids: self.bids.truncate(depth), asks: self.asks.truncate(depth) }
    }

    /// Best bid at or above best ask: no book of one venue is ever so.
    pub fn is_crossed(&self) -> bool {
        match (self.bids.best(), self.asks.best()) {
            (Some(bid), Some(ask)) => bid.price.key() >= ask.price.key(),
            _ => false,
        }
    }

    /// Kraken's checksum: CRC-32 over the digits of the ten best asks, then of the ten best bids.
    ///
    /// Numbers are padded to the instrument's precisions, or as they were written where unknown.
    pub fn checksum(&self, price_precision: Option<u8>, size_precision: Option<u8>) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        let best = self.asks.iter().take(CHECKSUM_LEVELS);
        for level in best.chain(self.bids.iter().take(CHECKSUM_LEVELS)) {
            hash_digits(&mut crc, level.price.digits(price_precision));
            hash_digits(&mut crc, level.size.digits(size_precision));
        }
        crc.finalize()
    }
}

fn hash_digits(crc: &mut crc32fast::Hasher, mut number: u128) {
    let mut digits = [0u8; 39];
    let mut at = digits.len();
    let mut put = |digit: u8| {
        at -= 1;
        digits[at] = b'0' + digit;
    };
    while number > u128::from(u64::MAX) {
        put((number % 10) as u8);
        number /= 10;
    }
    // Nearly all numbers are small enough for the fast division.
    let mut number = number as u64;
    while number > 0 {
        put((number % 10) as u8);
        number /= 10;
    }
    crc.update(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn levels(pairs: &[(&str, &str)]) -> Vec<Level> {
        let fixed = |text: &str| Fixed::parse(text).expect("a decimal");
        pairs.iter().map(|(p, s)| Level { price: fixed(p), size: fixed(s) }).collect()
    }

    fn book(bids: &[(&str, &str)], asks: &[(&str, &str)]) -> Book {
        let mut book = Book::default();
        book.replace(&Levels { bids: levels(bids), asks: levels(asks) });
        book
    }

    /// Kraken's documented examples: the v2 guide, the v2 book page, the same after an update.
    #[test]
    fn checksums_equal_the_documented_ones() {
        let guide = book(
            &[
                ("45283.5", "0.10000000"),
                ("45283.4", "1.54582015"),
                ("45282.1", "0.10000000"),
                ("45281.0", "0.10000000"),
                ("45280.3", "1.54592586"),
                ("45279.0", "0.07990000"),
                ("45277.6", "0.03310103"),
                ("45277.5", "0.30000000"),
                ("45277.3", "1.54602737"),
                ("45276.6", "0.15445238"),
            ],
            &[
                ("45285.2", "0.00100000"),
                ("45286.4", "1.54571953"),
                ("45286.6", "1.54571109"),
                ("45289.6", "1.54560911"),
                ("45290.2", "0.15890660"),
                ("45291.8", "1.54553491"),
                ("45294.7", "0.04454749"),
                ("45296.1", "0.35380000"),
                ("45297.5", "0.09945542"),
                ("45299.5", "0.18772827"),
            ],
        );
        assert_eq!(guide.checksum(None, None), 3_310_070_434);
        let mut page = book(
            &[
                ("0.5666", "4831.75496356"),
                ("0.5665", "6658.22734739"),
                ("0.5664", "18724.91513344"),
                ("0.5663", "11563.92544914"),
                ("0.5662", "14006.65365711"),
                ("0.5661", "17454.85679807"),
                ("0.566", "18097.1547"),
                ("0.5659", "33644.89175666"),
                ("0.5658", "148.3464"),
                ("0.5657", "606.70854372"),
            ],
            &[
                ("0.5668", "4410.79769741"),
                ("0.5669", "4655.40412487"),
                ("0.567", "49844.89424998"),
                ("0.5671", "24306.41678"),
                ("0.5672", "29783.25223475"),
                ("0.5673", "57234.71239278"),
                ("0.5674", "45065.04744"),
                ("0.5675", "5912.76380354"),
                ("0.5676", "42514.92434778"),
                ("0.5677", "36304.0847022"),
            ],
        );
        assert_eq!(page.checksum(Some(4), Some(8)), 2_439_117_997);
        assert_eq!(page.checksum(None, None), 3_830_085_102);
        page.apply(&Levels { bids: levels(&[("0.5657", "1098.3947558")]), asks: Vec::new() });
        assert_eq!(page.checksum(Some(4), Some(8)), 2_114_181_697);
    }

    #[test]
    fn what_a_depth_limit_pushes_out_is_the_worst() {
        let mut book = book(&[("9", "1"), ("8", "1"), ("7", "1")], &[("10", "1"), ("12", "1")]);
        book.apply(&Levels { bids: levels(&[("8.5", "1")]), asks: levels(&[("11", "1")]) });
        let out = book.truncate(2);
        assert_eq!(out.bids, levels(&[("7", "1"), ("8", "1")]));
        assert_eq!(out.asks, levels(&[("12", "1")]));
    }

    proptest! {
        /// Against a sorted map, which is too slow for the work but plainly right.
        #[test]
        fn a_book_is_what_a_sorted_map_says(changes in prop::collection::vec((1u64..40, 0u64..3), 0..200)) {
            let mut book = Book::default();
            let mut model: BTreeMap<u64, u64> = BTreeMap::new();
            for (price, size) in changes {
                let fixed = |mantissa| Fixed { mantissa, decimals: 0 };
                let one = vec![Level { price: fixed(price), size: fixed(size) }];
                book.apply(&Levels { bids: one.clone(), asks: one });
                if size == 0 { model.remove(&price); } else { model.insert(price, size); }
                let plain = |level: &Level| (level.price.mantissa, level.size.mantissa);
                let pairs: Vec<(u64, u64)> = model.iter().map(|(p, s)| (*p, *s)).collect();
                prop_assert_eq!(book.asks.iter().map(plain).collect::<Vec<_>>(), pairs.clone());
                let down: Vec<(u64, u64)> = pairs.into_iter().rev().collect();
                prop_assert_eq!(book.bids.iter().map(plain).collect::<Vec<_>>(), down);
            }
        }
    }
}
