//! Books as a market keeps them: what is received is judged, spliced, applied, and asked for anew.

use super::Market;
use super::witness::Denied;
use crate::book::{Book, Level, Levels};
use crate::quality::Verdict;
use crate::row::{self, Origin};
use crate::subscription::Channel;
use crate::tick::BookTick;

const SECOND_NS: i64 = 1_000_000_000;
/// Changes kept while their snapshot is awaited; beyond them the oldest are let go.
const EARLY_MESSAGES: usize = 4096;
/// An asked-for snapshot that has not come after this time is asked for again.
const ANSWER_NS: i64 = 10 * SECOND_NS;
/// The longest wait between two requests for a book that will not be right.
const WAIT_CAP_NS: i64 = 60 * SECOND_NS;
/// A book that was good for so long is asked for at once when it goes bad.
const HEALTHY_NS: i64 = 60 * SECOND_NS;

/// How far a book can be believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    #[default]
    Building,
    Ok,
    Bad,
    /// It may be right, but the venue offers nothing to prove it by.
    Unverifiable,
}

impl Health {
    pub fn text(self) -> &'static str {
        match self {
            Health::Building => "building",
            Health::Ok => "ok",
            Health::Bad => "bad",
            Health::Unverifiable => "unverifiable",
        }
    }

    pub(super) fn stands(self) -> bool {
        matches!(self, Health::Ok | Health::Unverifiable)
    }
}

/// One instrument's book and what is known of it.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) health: Health,
    pub(super) book: Book,
    /// The number of the last message in the book.
    pub(super) seq: Option<u64>,
    /// A snapshot is in place that no change has followed yet.
    fresh: bool,
    /// The stream brought it, or changes of it: a book by REST would only be older, or shorter.
    pub(super) streamed: bool,
    /// Changes by number have been seen, so that the book is more than a partial one.
    numbered: bool,
    early: std::collections::VecDeque<(BookTick, Levels)>,
    pub(super) depth: Option<usize>,
    pub(super) rows_since_whole: usize,
    pub(super) depth_written_ns: i64,
    pub(super) depth_withheld: bool,
    pub(super) top: [Option<Level>; 2],
    /// What tickers say against the best bid and the best ask.
    pub(super) denied: [Denied; 2],
    resync: Resync,
}

/// When a snapshot is to be asked for.
#[derive(Debug, Default)]
struct Resync {
    due_ns: Option<i64>,
    asked_ns: i64,
    tries: u32,
    good_since_ns: i64,
}

impl Kept {
    /// Move all instants: the clock was set.
    pub(super) fn shift(&mut self, by_ns: i64) {
        self.depth_written_ns += by_ns;
        self.resync.due_ns = self.resync.due_ns.map(|at| at + by_ns);
        self.resync.asked_ns += by_ns;
        self.resync.good_since_ns += by_ns;
        self.denied.iter_mut().for_each(|denied| denied.shift(by_ns));
    }
}

impl Market {
    /// Take a message of book levels: a whole book, or changes of it.
    pub fn book(&mut self, raw_symbol: &str, tick: BookTick, levels: &Levels) {
        let at = self.follow(raw_symbol);
        if self.book_was_told(at, &tick, levels) {
            return;
        }
        let repeated = tick.flags & (row::DUPLICATE | row::LATE) != 0;
        if repeated {
            self.push_book(at, tick, levels, &Levels::default(), 0, Verdict::Good);
        } else if tick.snapshot {
            self.take_snapshot(at, tick, levels);
        } else if self.profile.book_ranges {
            self.take_numbered(at, tick, levels);
        } else if self.kept(at).health.stands() {
            self.apply(at, tick, levels);
        } else {
            self.push_book(
                at,
                tick,
                levels,
                &Levels::default(),
                row::MAYBE_BAD_BOOK,
                Verdict::Good,
            );
        }
    }

    /// The sole instrument whose book waits for a snapshot, if there is exactly one.
    pub fn sole_awaiting_snapshot(&self) -> Option<&str> {
        let mut waiting =
            self.followed.iter().filter(|f| !f.book.health.stands() && !f.book.early.is_empty());
        let first = waiting.next()?;
        waiting.next().is_none().then_some(&first.instrument.raw_symbol)
    }

    /// Ask for a book's snapshot, as when its changes were subscribed to.
    pub fn want_snapshot(&mut self, at: usize) {
        let now_ns = self.now_ns;
        let kept = self.kept(at);
        if !kept.health.stands() && kept.resync.due_ns.is_none() {
            kept.resync.due_ns = Some(now_ns);
            self.snapshots_wanted = self.live;
        }
    }

    /// A snapshot could not be had: ask again as soon as politeness allows.
    pub fn hasten_snapshots(&mut self) {
        for followed in &mut self.followed {
            let resync = &mut followed.book.resync;
            let soonest_ns = resync.asked_ns + wait_ns(resync.tries);
            resync.due_ns = resync.due_ns.map(|due_ns| due_ns.min(soonest_ns));
        }
    }

    /// The instruments whose snapshot is to be asked for now, `most` of them, the longest due first;
    /// each is given time to be answered.
    pub fn due_snapshots(&mut self, most: usize) -> Vec<String> {
        if !self.snapshots_wanted {
            return Vec::new();
        }
        let now_ns = self.now_ns;
        let wanted = self.followed.iter().enumerate();
        let mut due: Vec<(i64, usize)> =
            wanted.filter_map(|(at, f)| f.book.resync.due_ns.map(|due_ns| (due_ns, at))).collect();
        self.snapshots_wanted = !due.is_empty();
        due.retain(|(due_ns, _)| *due_ns <= now_ns);
        due.sort_unstable();
        due.truncate(most);
        let ask = |(_, at): (i64, usize)| {
            let resync = &mut self.followed[at].book.resync;
            resync.asked_ns = now_ns;
            resync.tries += 1;
            resync.due_ns = Some(now_ns + ANSWER_NS.max(wait_ns(resync.tries)));
            self.followed[at].instrument.raw_symbol.clone()
        };
        due.into_iter().map(ask).collect()
    }

    /// Forget the books whose changes came by the connection that is gone.
    pub fn forget_books(&mut self, polled_go_on: bool) {
        self.depth_due_ns = i64::MAX;
        for followed in &mut self.followed {
            followed.trades.covered.restart();
            if followed.book.streamed || !polled_go_on {
                followed.book = Kept::default();
            }
        }
    }

    /// A message was lost that was about books of the instruments `named`, or, if none is, of any.
    pub fn doubt_books(&mut self, named: impl Fn(&str) -> bool) {
        let stands = |at: &usize| self.followed[*at].book.health.stands();
        let all: Vec<usize> = (0..self.followed.len()).filter(stands).collect();
        let hit = |at: &&usize| named(&self.followed[**at].instrument.raw_symbol);
        let those: Vec<usize> = all.iter().filter(hit).copied().collect();
        for at in if those.is_empty() { all } else { those } {
            self.spoil(at);
        }
    }

    /// No book of the connection can be believed: one loss that its own status row tells of.
    pub(super) fn spoil_all_books(&mut self) {
        for at in 0..self.followed.len() {
            if self.kept(at).health.stands() {
                self.spoil(at);
            }
        }
    }

    pub(super) fn kept(&mut self, at: usize) -> &mut Kept {
        &mut self.followed[at].book
    }

    fn take_snapshot(&mut self, at: usize, tick: BookTick, levels: &Levels) {
        let (ranges, truncates) = (self.profile.book_ranges, self.profile.book_truncates);
        let kept = self.kept(at);
        let partial = tick.flags & row::REST == 0 && kept.numbered;
        let polled = tick.flags & row::REST != 0 && kept.streamed && kept.health.stands();
        let overtaken = kept.health.stands() && tick.seq.is_some() && tick.seq <= kept.seq;
        if polled || (ranges && (partial || overtaken)) {
            // Folding it in would take the book back, or cut it short.
            let none = Levels::default();
            return self.push_book(at, tick, levels, &none, row::DUPLICATE, Verdict::Good);
        }
        let first = kept.early.front().and_then(|(change, _)| change.seq_first);
        if ranges && first.zip(tick.seq).is_some_and(|(first, seq)| seq + 1 < first) {
            let none = Levels::default();
            self.push_book(at, tick, levels, &none, row::MAYBE_BAD_BOOK, Verdict::Good);
            return self.ask_again(at);
        }
        let was_bad = kept.health == Health::Bad;
        kept.book.replace(levels);
        kept.seq = tick.seq;
        kept.fresh = true;
        kept.streamed |= tick.flags & row::REST == 0;
        let longer = levels.bids.len().max(levels.asks.len());
        kept.depth = tick.depth.or(kept.depth).or(truncates.then_some(longer));
        let early = std::mem::take(&mut kept.early);
        let flags = self.check(at, tick);
        self.push_book(at, tick, levels, &Levels::default(), flags, Verdict::Good);
        self.kept(at).rows_since_whole = 0;
        if flags & row::MAYBE_BAD_BOOK != 0 {
            return;
        }
        self.stand(at);
        if was_bad {
            self.report(at, Channel::Book, "resync", None, [None, tick.seq, None]);
        }
        for (change, levels) in early {
            if change.seq > self.kept(at).seq {
                let flags = change.flags | row::SYNTHETIC;
                self.take_numbered(at, BookTick { flags, ..change }, &levels);
            }
        }
        self.show(at, &tick, 0);
    }

    /// Take changes that carry the range of numbers they cover.
    fn take_numbered(&mut self, at: usize, tick: BookTick, levels: &Levels) {
        let none = Levels::default();
        let kept = self.kept(at);
        (kept.numbered, kept.streamed) = (true, true);
        if !kept.health.stands() {
            if kept.early.len() == EARLY_MESSAGES {
                kept.early.pop_front();
            }
            kept.early.push_back((tick, levels.clone()));
            self.push_book(at, tick, levels, &none, row::MAYBE_BAD_BOOK, Verdict::Good);
            return self.want_snapshot(at);
        }
        let (seq, fresh) = (kept.seq.unwrap_or(0), kept.fresh);
        let (first, last) = (tick.seq_first.unwrap_or(0), tick.seq.unwrap_or(0));
        if last <= seq {
            // Right behind a snapshot the stream repeats what the snapshot holds already.
            let verdict = if fresh { Verdict::Good } else { Verdict::Duplicate };
            if self.leaves_out(verdict == Verdict::Duplicate) {
                return;
            }
            let flags = self.judge(at, Channel::Book, verdict, Some(last)) | row::DUPLICATE;
            return self.push_book(at, tick, levels, &none, flags, verdict);
        }
        if first <= seq + 1 {
            return self.apply(at, tick, levels);
        }
        let verdict = if fresh { Verdict::Good } else { Verdict::Gap { expected: seq + 1 } };
        let flags = self.judge(at, Channel::Book, verdict, Some(first)) | row::MAYBE_BAD_BOOK;
        if fresh {
            // The snapshot was older than the stream: no loss, only the wrong place to begin.
            self.kept(at).health = Health::Building;
            self.end_quotes_of(at, &[Origin::Book]);
            self.ask_again(at);
        } else {
            self.spoil(at);
        }
        self.kept(at).early.push_back((tick, levels.clone()));
        self.push_book(at, tick, levels, &none, flags, verdict);
    }

    fn apply(&mut self, at: usize, tick: BookTick, levels: &Levels) {
        let kept = self.kept(at);
        let rank = kept.book.apply(levels);
        kept.seq = tick.seq.or(kept.seq);
        (kept.fresh, kept.streamed) = (false, true);
        let out = kept.depth.map_or_else(Levels::default, |depth| kept.book.truncate(depth));
        let flags = self.check(at, tick);
        self.push_book(at, tick, levels, &out, flags, Verdict::Good);
        if flags & row::MAYBE_BAD_BOOK == 0 {
            self.compare_with_told(at);
            self.show(at, &tick, rank);
        }
    }

    /// Hold the book against its checksum and against reason; returns the flags that come of it.
    fn check(&mut self, at: usize, tick: BookTick) -> u32 {
        let instrument = &self.followed[at].instrument;
        let places =
            |precision: f64| (precision >= 0.0 && !tick.as_written).then_some(precision as u8);
        let precisions = (places(instrument.price_precision), places(instrument.size_precision));
        let book = &self.followed[at].book.book;
        if let Some(expected) = tick.checksum {
            let got = book.checksum(precisions.0, precisions.1);
            if got != expected {
                let numbers = [Some(expected.into()), Some(got.into()), None];
                self.report(at, Channel::Book, "checksum", None, numbers);
                self.spoil(at);
                return row::MAYBE_BAD_BOOK;
            }
        }
        if book.is_crossed() {
            let best = |level: Option<&Level>| level.map_or(f64::NAN, |level| level.price.value());
            let (bid, ask) = (best(book.bids.best()), best(book.asks.best()));
            let detail = format!("best bid {bid} not below best ask {ask}");
            self.report(at, Channel::Book, "crossed", Some(detail), [None; 3]);
            self.spoil(at);
            return row::MAYBE_BAD_BOOK;
        }
        0
    }

    /// The book is not to be believed any more: no quote stands on it, and it is asked for anew.
    pub(super) fn spoil(&mut self, at: usize) {
        let kept = self.kept(at);
        kept.health = Health::Bad;
        kept.depth_withheld = false;
        kept.early.clear();
        kept.denied = Default::default();
        self.end_quotes_of(at, &[Origin::Book]);
        self.ask_again(at);
    }

    fn ask_again(&mut self, at: usize) {
        let now_ns = self.now_ns;
        let resync = &mut self.kept(at).resync;
        if resync.good_since_ns > 0 && now_ns - resync.good_since_ns >= HEALTHY_NS {
            resync.tries = 0;
        }
        resync.good_since_ns = 0;
        resync.due_ns = Some(now_ns.max(resync.asked_ns + wait_ns(resync.tries)));
        self.snapshots_wanted = self.live;
    }

    fn stand(&mut self, at: usize) {
        let (now_ns, verifiable) = (self.now_ns, self.profile.book_verifiable);
        let kept = self.kept(at);
        kept.health = if verifiable { Health::Ok } else { Health::Unverifiable };
        kept.resync.due_ns = None;
        if kept.resync.good_since_ns == 0 {
            kept.resync.good_since_ns = now_ns;
        }
    }
}

/// How long to wait after so many requests before the next one.
fn wait_ns(tries: u32) -> i64 {
    match tries {
        0 => 0,
        _ => (SECOND_NS << (tries - 1).min(10)).min(WAIT_CAP_NS),
    }
}
