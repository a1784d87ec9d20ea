//! What a venue's own numbering proves about loss, repeats and order: per symbol and channel, pure.

use std::collections::VecDeque;

/// Holes remembered per tracker, so that a late number can be told from a repeated one, or had
/// from elsewhere.
const HOLES: usize = 64;
/// Identifiers remembered where numbers need not follow on.
const RECENT: usize = 4096;
/// A number so far below the last one is no late one: the venue begins to count anew.
pub const RESTART_NUMBERS: u64 = 100_000;
/// How far REST's time of a trade may be from the stream's.
const BESIDE_US: i64 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Good,
    /// Numbers from `expected` up to the one seen are missing.
    Gap {
        expected: u64,
    },
    Duplicate,
    Late,
    /// The venue counts anew: `expected` would have been next.
    Restart {
        expected: u64,
    },
}

/// Judges a number that counts up by one.
#[derive(Clone, Debug, Default)]
pub struct Contiguous {
    next: Option<u64>,
    holes: Spans,
    /// Numbers of holes that were had elsewhere: the stream itself may still bring them, late.
    filled: Spans,
    /// Nobody listened for a while: the next number that is news may be any.
    paused: bool,
}

impl Contiguous {
    /// The number that follows on.
    pub fn next(&self) -> Option<u64> {
        self.next
    }

    /// Whether a number is behind what was seen already, and none of those known to be missing.
    pub fn has_passed(&self, number: u64) -> bool {
        self.next.is_some_and(|next| number < next) && self.holes.at(number).is_none()
    }

    /// Nobody listens until the next number comes: what is given out meanwhile is not missing.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// Take it from elsewhere that this number was given out: those up to it not seen are missing.
    pub fn reach(&mut self, number: u64) -> Verdict {
        match self.next {
            Some(expected) if number >= expected && !self.paused => {
                let next = number.saturating_add(1);
                self.holes.add(expected, next);
                self.next = Some(next);
                Verdict::Gap { expected }
            }
            _ => Verdict::Good,
        }
    }

    /// Whether a number is so far below what was seen that it cannot be a late or repeated one.
    pub fn is_far_below(&self, number: u64) -> bool {
        self.next.is_some_and(|next| next.saturating_sub(number) > RESTART_NUMBERS)
    }

    /// Begin anew with this number.
    pub fn restart(&mut self, number: u64) -> Verdict {
        let before = std::mem::take(self);
        self.next = Some(number.saturating_add(1));
        before.next.map_or(Verdict::Good, |expected| Verdict::Restart { expected })
    }

    pub fn judge(&mut self, number: u64) -> Verdict {
        let Some(next) = self.next else {
            self.next = Some(number.saturating_add(1));
            return Verdict::Good;
        };
        if number >= next {
            self.next = Some(number.saturating_add(1));
            if std::mem::take(&mut self.paused) || number == next {
                return Verdict::Good;
            }
            self.holes.add(next, number);
            return Verdict::Gap { expected: next };
        }
        if self.holes.take(number) || self.filled.take(number) {
            return Verdict::Late;
        }
        Verdict::Duplicate
    }

    /// Have a missing number from elsewhere; false if it is not missing.
    pub fn fill(&mut self, number: u64) -> bool {
        let missing = self.holes.take(number);
        if missing {
            self.filled.add(number, number.saturating_add(1));
        }
        missing
    }

    /// Whether a number was missing and then had from elsewhere.
    pub fn is_filled(&self, number: u64) -> bool {
        self.filled.at(number).is_some()
    }

    /// The first and the last number missing of a span, and how many; None if none is.
    pub fn missing(&self, from: u64, to: u64) -> Option<(u64, u64, u64)> {
        let within = |(first, end): &(u64, u64)| ((*first).max(from), (*end).min(to));
        let holes = self.holes.0.iter().map(within).filter(|(first, end)| first < end);
        holes.fold(None, |found, (first, end)| {
            let (lowest, highest, count) = found.unwrap_or((first, end - 1, 0));
            Some((lowest.min(first), highest.max(end - 1), count + end - first))
        })
    }
}

/// Spans of numbers, each from its first up to, not including, its end; the oldest are forgotten.
#[derive(Clone, Debug, Default)]
struct Spans(VecDeque<(u64, u64)>);

impl Spans {
    fn at(&self, number: u64) -> Option<usize> {
        self.0.iter().position(|(first, end)| (*first..*end).contains(&number))
    }

    /// Add a span, to the last one if it continues that upwards or downwards.
    fn add(&mut self, first: u64, end: u64) {
        match self.0.back_mut() {
            Some(last) if last.1 == first => last.1 = end,
            Some(last) if last.0 == end => last.0 = first,
            _ => {
                if self.0.len() == HOLES {
                    self.0.pop_front();
                }
                self.0.push_back((first, end));
            }
        }
    }

    /// Take a number out; false if it is not there.
    fn take(&mut self, number: u64) -> bool {
        let Some((first, end)) = self.at(number).and_then(|at| self.0.remove(at)) else {
            return false;
        };
        let parts = [(first, number), (number + 1, end)];
        parts.into_iter().filter(|(first, end)| first < end).for_each(|(a, b)| self.add(a, b));
        true
    }
}

/// Judges a number that only grows, in steps of any size.
#[derive(Clone, Debug, Default)]
pub struct Growing {
    last: Option<u64>,
    /// The connection is a new one: the venue may have begun to count anew.
    reconnected: bool,
}

impl Growing {
    /// A new connection was opened.
    pub fn reconnect(&mut self) {
        self.reconnected = true;
    }

    pub fn judge(&mut self, number: u64) -> Verdict {
        let reconnected = std::mem::take(&mut self.reconnected);
        match self.last {
            Some(last) if number == last => Verdict::Duplicate,
            Some(last)
                if last - number.min(last) > RESTART_NUMBERS
                    || (reconnected && number < last / 2) =>
            {
                self.last = Some(number);
                Verdict::Restart { expected: last.saturating_add(1) }
            }
            Some(last) if number < last => Verdict::Late,
            _ => {
                self.last = Some(number);
                Verdict::Good
            }
        }
    }
}

/// Judges identifiers of which no order is promised: only a repeat can be told.
#[derive(Clone, Debug, Default)]
pub struct Recent {
    order: VecDeque<u64>,
    seen: rustc_hash::FxHashSet<u64>,
}

impl Recent {
    /// Forget all identifiers.
    pub fn restart(&mut self) {
        *self = Recent::default();
    }

    pub fn knows(&self, id: u64) -> bool {
        self.seen.contains(&id)
    }

    pub fn judge(&mut self, id: u64) -> Verdict {
        if !self.seen.insert(id) {
            return Verdict::Duplicate;
        }
        if self.order.len() == RECENT
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        self.order.push_back(id);
        Verdict::Good
    }
}

/// Tells by their times which trades without a number another connection, or REST, told of before.
///
/// Compared in µs, the venues' own unit: REST may print more digits than the stream. REST's times
/// have been through a double, which may put them into the µs beside the stream's.
#[derive(Clone, Debug, Default)]
pub struct Covered {
    streamed_us: i64,
    covered_us: i64,
}

impl Covered {
    /// A new connection was opened: it may repeat what the one before brought.
    pub fn restart(&mut self) {
        self.covered_us = self.covered_us.max(self.streamed_us);
    }

    pub fn judge(&mut self, ts_event: i64) -> Verdict {
        let us = ts_event / 1000;
        self.streamed_us = self.streamed_us.max(us);
        if us <= self.covered_us { Verdict::Duplicate } else { Verdict::Good }
    }

    /// Whether the stream brought a trade of this time, or a later one.
    pub fn has_passed(&self, ts_event: i64) -> bool {
        ts_event / 1000 <= self.streamed_us + BESIDE_US
    }

    /// REST told of all trades up to this time.
    pub fn cover(&mut self, ts_event: i64) {
        self.covered_us = self.covered_us.max(ts_event / 1000 + BESIDE_US);
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::{Duplicate, Gap, Good, Late};
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn a_late_number_fills_its_hole_once() {
        let mut ids = Contiguous::default();
        let verdicts: Vec<_> = [7, 8, 12, 10, 10, 12, 13].map(|id| ids.judge(id)).to_vec();
        assert_eq!(verdicts, [Good, Good, Gap { expected: 9 }, Late, Duplicate, Duplicate, Good]);
    }

    #[test]
    fn a_number_told_of_elsewhere_shows_what_is_missing_until_it_comes_late() {
        let mut ids = Contiguous::default();
        assert_eq!(ids.reach(9), Good, "nothing was seen that could be continued");
        assert_eq!([ids.judge(7), ids.reach(7), ids.reach(9)], [Good, Good, Gap { expected: 8 }]);
        assert!(ids.has_passed(7) && !ids.has_passed(9));
        assert_eq!([ids.judge(10), ids.judge(9), ids.judge(9)], [Good, Late, Duplicate]);
    }

    #[test]
    fn what_was_given_out_while_nobody_listened_is_not_missing_and_what_was_seen_is_repeated() {
        let mut ids = Contiguous::default();
        assert_eq!([7, 8, 10].map(|id| ids.judge(id)), [Good, Good, Gap { expected: 9 }]);
        ids.pause();
        assert_eq!(ids.reach(30), Good);
        let verdicts = [8, 9, 10, 20, 21, 24].map(|id| ids.judge(id));
        assert_eq!(verdicts, [Duplicate, Late, Duplicate, Good, Good, Gap { expected: 22 }]);
    }

    #[test]
    fn a_number_had_elsewhere_is_missing_no_more_and_late_if_it_comes_all_the_same() {
        let mut ids = Contiguous::default();
        for id in [7, 12, 14] {
            ids.judge(id);
        }
        assert_eq!(ids.missing(0, 100), Some((8, 13, 5)));
        assert_eq!([9, 12, 9].map(|id| ids.fill(id)), [true, false, false]);
        assert_eq!(ids.missing(8, 12), Some((8, 11, 3)));
        assert!(ids.has_passed(9) && ids.is_filled(9) && !ids.is_filled(10));
        assert_eq!([9, 9].map(|id| ids.judge(id)), [Late, Duplicate]);
        assert_eq!([8, 10, 11].map(|id| ids.fill(id)), [true; 3]);
        assert_eq!((ids.missing(8, 12), ids.judge(15)), (None, Good));
    }

    #[test]
    fn trades_of_one_time_repeat_only_what_came_another_way() {
        let mut trades = Covered::default();
        assert_eq!([5_000, 5_000, 6_000].map(|ns| trades.judge(ns)), [Good; 3]);
        assert!(trades.has_passed(7_900) && !trades.has_passed(8_000));
        trades.restart();
        assert_eq!([6_000, 7_000].map(|ns| trades.judge(ns)), [Duplicate, Good]);
        trades.cover(8_100);
        assert_eq!([8_000, 9_000, 10_000].map(|ns| trades.judge(ns)), [Duplicate, Duplicate, Good]);
    }

    #[test]
    fn growing_numbers_may_skip_but_not_return() {
        let mut ids = Growing::default();
        let verdicts = [5, 9, 9, 7, 10].map(|id| ids.judge(id));
        assert_eq!(verdicts, [Good, Good, Duplicate, Late, Good]);
    }

    proptest! {
        #[test]
        fn duplicates_are_exactly_the_numbers_seen_before(ids in prop::collection::vec(100u64..140, 1..80)) {
            let (mut tracker, mut seen, first) = (Contiguous::default(), HashSet::new(), ids[0]);
            for id in ids.into_iter().filter(|id| *id >= first) {
                prop_assert_eq!(tracker.judge(id) == Verdict::Duplicate, !seen.insert(id));
            }
        }
    }
}
