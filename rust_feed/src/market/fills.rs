//! Trades behind a gap, had by REST: which are waited for, and what an answer makes of them.
//!
//! What an answer leads to follows from its mark and from the numbers seen, so that kept payloads
//! give the same rows again; only what is asked for next is a live session's alone.

use std::collections::VecDeque;

use super::Market;
use crate::fill::{Fill, Missing};
use crate::row::{self, TradeId};
use crate::subscription::Channel;
use crate::tick::TradeTick;

const SECOND_NS: i64 = 1_000_000_000;
/// Gaps that may wait to be filled: fewer than the holes that a tracker remembers.
const WAITING: usize = 32;
/// What is missing may only be late, and what just happened is not yet everywhere by REST.
const RIPE_NS: i64 = SECOND_NS;
/// Answers that may bring a part of what one gap lacks.
const PAGES: usize = 10;
/// How long to wait after an answer that brought nothing, or none; after the last it is given up.
const PAUSES_NS: [i64; 2] = [2 * SECOND_NS, 10 * SECOND_NS];
/// While the venue wants to be left in peace nothing is asked: how often that is looked at, and
/// for how long.
const PEACE_NS: i64 = 10 * SECOND_NS;
const PATIENCE_NS: i64 = 300 * SECOND_NS;

#[derive(Debug, Default)]
pub struct Fills {
    /// Whether missing trades are asked for.
    pub wanted: bool,
    waiting: VecDeque<Waiting>,
    reading: Option<Reading>,
}

#[derive(Debug)]
pub(super) struct Waiting {
    fill: Fill,
    after_ns: Option<i64>,
    before_ns: Option<i64>,
    since_ns: i64,
    due_ns: i64,
    asked: bool,
}

impl Fills {
    /// Move all instants: the clock was set.
    pub fn shift(&mut self, by_ns: i64) {
        for waiting in &mut self.waiting {
            waiting.since_ns += by_ns;
            waiting.due_ns += by_ns;
        }
    }
}

/// An answer that is being read: the trades that it tells of, wanted or not.
#[derive(Debug)]
struct Reading {
    at: usize,
    fill: Fill,
    found_before: u64,
    told: Vec<(u64, Option<i64>)>,
}

impl Fills {
    fn place(&self, fill: &Fill) -> Option<usize> {
        self.waiting.iter().position(|waiting| waiting.fill.is_of_gap(fill))
    }

    /// Take the gaps of one instrument out.
    pub(super) fn take_of(&mut self, raw_symbol: &str) -> Vec<Waiting> {
        let waiting = std::mem::take(&mut self.waiting);
        let is_own = |waiting: &Waiting| waiting.fill.raw_symbol == raw_symbol;
        let (own, others): (VecDeque<_>, _) = waiting.into_iter().partition(is_own);
        self.waiting = others;
        own.into()
    }
}

impl Market {
    /// The ids of an instrument's trades jumped: have those between asked for, if the venue can.
    pub(super) fn want_fill(
        &mut self,
        at: usize,
        channel: Channel,
        [from, to]: [u64; 2],
        before_ns: Option<i64>,
    ) {
        if !self.fills.wanted {
            return;
        }
        self.make_room_for_fill();
        let followed = &self.followed[at];
        let raw_symbol = followed.instrument.raw_symbol.clone();
        let fill = Fill { channel, from, to, found: 0, pages: 0, tries: 0, raw_symbol };
        self.fills.waiting.push_back(Waiting {
            fill,
            after_ns: followed.trades.last.map(|(ns, _)| ns),
            before_ns,
            since_ns: self.now_ns,
            due_ns: self.now_ns + RIPE_NS,
            asked: false,
        });
    }

    fn make_room_for_fill(&mut self) {
        if self.fills.waiting.len() == WAITING
            && let Some(oldest) = self.fills.waiting.pop_front()
        {
            let why = format!("more than {WAITING} gaps waited");
            self.tell_filled(&oldest.fill, Some(&why));
        }
    }

    /// What is to be asked for now, if anything is.
    pub fn due_fill(&mut self) -> Option<Missing> {
        loop {
            let now_ns = self.now_ns;
            let is_due = |waiting: &Waiting| !waiting.asked && waiting.due_ns <= now_ns;
            let place = self.fills.waiting.iter().position(is_due)?;
            let fill = self.fills.waiting[place].fill.clone();
            if let (Some((first, last, _)), newest) = self.missing(&fill) {
                let waiting = &mut self.fills.waiting[place];
                waiting.asked = true;
                let (after_ns, before_ns) = (waiting.after_ns, waiting.before_ns);
                return Some(Missing { fill, first, last, newest, after_ns, before_ns });
            }
            // The stream brought them late.
            self.fills.waiting.remove(place);
            self.tell_filled(&fill, None);
        }
    }

    /// A gap is not filled after all: the venue's REST offers nothing for it.
    pub fn forget_fill(&mut self, fill: &Fill) {
        if let Some(place) = self.fills.place(fill) {
            self.fills.waiting.remove(place);
        }
    }

    /// The request for a fill was held back, and is not made after all: ask again.
    pub fn ask_fill_again(&mut self, fill: &Fill) {
        if let Some(place) = self.fills.place(fill) {
            self.fills.waiting[place].asked = false;
        }
    }

    /// Of these instruments nothing will be asked any more.
    pub(super) fn give_up_fills(&mut self, ends: impl Fn(&str) -> bool, why: &str) {
        let waiting = std::mem::take(&mut self.fills.waiting);
        let (ended, left): (VecDeque<_>, _) =
            waiting.into_iter().partition(|one| ends(&one.fill.raw_symbol));
        self.fills.waiting = left;
        for waiting in ended {
            self.tell_filled(&waiting.fill, Some(why));
        }
    }

    /// Go on with the gaps that the session before left.
    pub(super) fn resume_fills(&mut self, waiting: Vec<Waiting>) {
        for waiting in waiting {
            self.make_room_for_fill();
            self.fills.waiting.push_back(Waiting { asked: false, ..waiting });
        }
    }

    /// An answer of a fill comes; false if nobody waits for it any more.
    pub fn begin_fill(&mut self, fill: Fill) -> bool {
        let awaited = !self.live || self.fills.place(&fill).is_some();
        if awaited {
            let at = self.follow(&fill.raw_symbol);
            let (found_before, told) = (fill.found, Vec::new());
            self.fills.reading = Some(Reading { at, fill, found_before, told });
        }
        awaited
    }

    pub(super) fn is_filling(&self) -> bool {
        self.fills.reading.is_some()
    }

    /// Take a trade of the answer: those that are missing become rows, the others are known.
    pub(super) fn backfill(&mut self, raw_symbol: &str, tick: TradeTick) {
        let at = self.follow(raw_symbol);
        let (Some(reading), Some(TradeId::Number(id))) = (&mut self.fills.reading, &tick.trade_id)
        else {
            return;
        };
        let Fill { channel, from, to, .. } = reading.fill;
        if (at, tick.channel) != (reading.at, channel) {
            return;
        }
        reading.told.push((*id, tick.ts_event));
        let followed = &mut self.followed[at];
        if (from..to).contains(id) && followed.trades.ids[channel as usize].fill(*id) {
            reading.fill.found += 1;
            // Neither its time nor its coming says anything of the stream.
            followed.meters[channel as usize].rows += 1;
            let flags = row::BACKFILL | row::REST;
            self.push_trade(at, tick, flags);
        }
    }

    /// The answer was read: tell how the gap is filled, or ask on. `failure` says what was wrong.
    pub fn end_fill(&mut self, failure: Option<&str>) {
        let Some(Reading { mut fill, found_before, told, .. }) = self.fills.reading.take() else {
            return;
        };
        let (Some((first, last, _)), _) = self.missing(&fill) else {
            self.forget_fill(&fill);
            return self.tell_filled(&fill, None);
        };
        // The newest first, a page may end before it comes to the gap.
        let falls_short = !told.is_empty() && told.iter().all(|(id, _)| *id > last);
        if fill.found == found_before && !falls_short {
            return self.ask_later(fill, failure.unwrap_or("the venue has no more of them"));
        }
        fill.pages += 1;
        if fill.pages >= PAGES {
            self.forget_fill(&fill);
            return self.tell_filled(&fill, Some(&format!("asked for no more than {PAGES} times")));
        }
        let Some(place) = self.fills.place(&fill) else { return };
        let waiting = &mut self.fills.waiting[place];
        let before = told.iter().filter(|(id, _)| *id < first).max_by_key(|(id, _)| *id);
        let behind = told.iter().filter(|(id, _)| *id > last).min_by_key(|(id, _)| *id);
        waiting.after_ns = before.and_then(|(_, ns)| *ns).or(waiting.after_ns);
        waiting.before_ns = behind.and_then(|(_, ns)| *ns).or(waiting.before_ns);
        (waiting.fill, waiting.asked) = (fill, false);
    }

    /// An answer could not be had; without a kind it was not even asked for.
    pub fn fail_fill(&mut self, fill: Fill, kind: &str, why: &str) {
        let Some(place) = self.fills.place(&fill) else { return };
        let waiting = &mut self.fills.waiting[place];
        if kind.is_empty() && self.now_ns - waiting.since_ns < PATIENCE_NS {
            (waiting.due_ns, waiting.asked) = (self.now_ns + PEACE_NS, false);
        } else if matches!(kind, "auth_failed" | "geo_blocked" | "") {
            self.forget_fill(&fill);
            self.tell_filled(&fill, Some(why));
        } else {
            self.ask_later(fill, why);
        }
    }

    /// Ask once more after a while, unless it was in vain too often.
    fn ask_later(&mut self, mut fill: Fill, why: &str) {
        let Some(pause_ns) = PAUSES_NS.get(fill.tries) else {
            self.forget_fill(&fill);
            return self.tell_filled(&fill, Some(why));
        };
        fill.tries += 1;
        if let Some(place) = self.fills.place(&fill) {
            let waiting = &mut self.fills.waiting[place];
            (waiting.due_ns, waiting.asked) = (self.now_ns + pause_ns, false);
            waiting.fill = fill;
        }
    }

    /// Write how many of the missing trades were found; those that came late are missing no more.
    fn tell_filled(&mut self, fill: &Fill, why: Option<&str>) {
        let (left, _) = self.missing(fill);
        let missing = fill.found + left.map_or(0, |(_, _, count)| count);
        if missing == 0 {
            return;
        }
        let at = self.follow(&fill.raw_symbol);
        let (found, from, last) = (fill.found, fill.from, fill.to - 1);
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        let detail = format!("{found} of {missing} missing trades ({from} to {last}){why}");
        let numbers = [Some(missing), Some(found), Some(found)];
        self.report(at, fill.channel, "filled", Some(detail), numbers);
    }

    /// What is still missing of a fill, and the newest id of its channel.
    fn missing(&self, fill: &Fill) -> (Option<(u64, u64, u64)>, u64) {
        let Some(at) = self.followed_as(&fill.raw_symbol) else { return (None, 0) };
        let ids = &self.followed[at].trades.ids[fill.channel as usize];
        (ids.missing(fill.from, fill.to), ids.next().map_or(0, |next| next - 1))
    }
}
