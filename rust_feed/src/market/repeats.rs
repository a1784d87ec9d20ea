//! Of two connections to one stream, which messages are news: by number, or else by time.

use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;

use super::Market;
use crate::book::Levels;
use crate::row;
use crate::subscription::Channel;
use crate::tick::{BookTick, QuoteTick};

/// What a stream of one instrument has told of so far, by whichever connection.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The highest number of a message.
    number: u64,
    time_ns: Option<i64>,
    /// What the messages of that time said: a venue may give several the same one.
    contents: Vec<u64>,
}

impl Told {
    /// Whether a message with this number, of numbers that only grow, was told of.
    fn judge_number(&mut self, number: u64) -> bool {
        let repeated = number <= self.number;
        self.number = self.number.max(number);
        repeated
    }

    /// Whether a message of this time was told of. One connection's messages come in the order of
    /// time, so what is older than the latest came before, by the other one.
    ///
    /// Messages without a time cannot be compared: those of the second connection do not count.
    fn judge_time(&mut self, time_ns: Option<i64>, content: u64, second: bool) -> bool {
        let Some(time_ns) = time_ns else { return second };
        match self.time_ns {
            None if second => true,
            Some(latest_ns) if time_ns < latest_ns => true,
            Some(latest_ns) if time_ns == latest_ns && self.contents.contains(&content) => true,
            Some(latest_ns) if time_ns == latest_ns => {
                self.contents.push(content);
                false
            }
            _ => {
                self.time_ns = Some(time_ns);
                self.contents.clear();
                self.contents.push(content);
                false
            }
        }
    }
}

impl Market {
    /// A new connection was opened, and no other is there to go on.
    pub fn forget_told(&mut self) {
        self.repeats = None;
        self.followed.iter_mut().for_each(|followed| followed.told = Default::default());
    }

    /// From now until `until_ns` leave out what another connection brought already.
    pub fn leave_out_repeats_until(&mut self, until_ns: i64) {
        let count = self.repeats.map_or(0, |(_, count)| count);
        self.repeats = Some((until_ns, count));
    }

    /// How many repeats were left out, told once if their time is over at `by_ns`.
    pub fn repeats_left_out(&mut self, by_ns: i64) -> Option<u64> {
        self.repeats.take_if(|(until_ns, _)| *until_ns <= by_ns).map(|(_, count)| count)
    }

    /// How many repeats were left out since this was last asked.
    pub fn count_repeats(&mut self) -> u64 {
        self.repeats.as_mut().map_or(0, |(_, count)| std::mem::take(count))
    }

    /// Whether a message is left out: it is a repeat, while two connections overlap. It is counted.
    pub(super) fn leaves_out(&mut self, repeated: bool) -> bool {
        match &mut self.repeats {
            Some((until_ns, count)) if repeated && self.now_ns < *until_ns => {
                *count += 1;
                true
            }
            _ => false,
        }
    }

    /// Whether a quote of the stream was told of by the other connection and is left out.
    pub(super) fn quote_was_told(&mut self, at: usize, tick: &QuoteTick) -> bool {
        if !self.compares || tick.seq.is_some() || tick.flags & row::REST != 0 {
            return false;
        }
        let mut content = FxHasher::default();
        for number in [tick.bid, tick.bid_size, tick.ask, tick.ask_size] {
            number.to_bits().hash(&mut content);
        }
        let asked_again = self.second && tick.flags & row::SNAPSHOT != 0;
        let told = &mut self.followed[at].told[Channel::Quote as usize];
        let repeated = asked_again || told.judge_time(tick.ts_event, content.finish(), self.second);
        self.leaves_out(repeated)
    }

    /// Whether a message about a book was told of by the other connection and is left out.
    pub(super) fn book_was_told(&mut self, at: usize, tick: &BookTick, levels: &Levels) -> bool {
        if !self.compares || tick.flags & row::REST != 0 {
            return false;
        }
        let told = &mut self.followed[at].told[Channel::Book as usize];
        let repeated = match (tick.snapshot, tick.seq) {
            (true, _) if self.second => true,
            (true, _) => {
                // The book begins here, whatever was told of it before.
                *told = Told { time_ns: tick.ts_event, ..Told::default() };
                false
            }
            (false, Some(number)) => told.judge_number(number),
            (false, None) => {
                let mut content = FxHasher::default();
                for level in levels.bids.iter().chain(&levels.asks) {
                    (level.price, level.size).hash(&mut content);
                }
                (levels.bids.len(), tick.checksum).hash(&mut content);
                told.judge_time(tick.ts_event, content.finish(), self.second)
            }
        };
        self.leaves_out(repeated)
    }
}
