//! What a venue's own numbering proves about loss, repeats and order: per symbol and channel, pure.

use std::collections::VecDeque;

/// Holes remembered per tracker, so that a late number can be told from a repeated one.
const HOLES: usize = 64;
/// Identifiers remembered where numbers need not follow on.
const RECENT: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Good,
    /// Numbers from `expected` up to the one seen are missing.
    Gap {
        expected: u64,
    },
    Duplicate,
    Late,
}

/// Judges a number that counts up by one.
#[derive(Clone, Debug, Default)]
pub struct Contiguous {
    next: Option<u64>,
    holes: VecDeque<(u64, u64)>,
}

impl Contiguous {
    /// Whether a number is behind what was seen already.
    pub fn has_passed(&self, number: u64) -> bool {
        self.next.is_some_and(|next| number < next)
    }

    pub fn judge(&mut self, number: u64) -> Verdict {
        let Some(next) = self.next else {
            self.next = number.checked_add(1);
            return Verdict::Good;
        };
        if number >= next {
            self.next = Some(number.saturating_add(1));
            if number == next {
                return Verdict::Good;
            }
            if self.holes.len() == HOLES {
                self.holes.pop_front();
            }
            self.holes.push_back((next, number));
            return Verdict::Gap { expected: next };
        }
        let Some(at) = self.holes.iter().position(|(from, to)| (*from..*to).contains(&number))
        else {
            return Verdict::Duplicate;
        };
        if let Some((from, to)) = self.holes.remove(at) {
            let parts = [(from, number), (number + 1, to)];
            self.holes.extend(parts.into_iter().filter(|(from, to)| from < to));
        }
        Verdict::Late
    }
}

/// Judges a number that only grows, in steps of any size.
#[derive(Clone, Debug, Default)]
pub struct Growing {
    last: Option<u64>,
}

impl Growing {
    pub fn judge(&mut self, number: u64) -> Verdict {
        match self.last {
            Some(last) if number == last => Verdict::Duplicate,
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
