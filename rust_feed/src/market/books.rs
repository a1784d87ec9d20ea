//! Books as a market keeps them: what is received is judged, spliced, applied, and asked for anew.

use super::Market;
use super::resync::Resync;
use super::witness::Denied;
use crate::book::{Book, Level, Levels};
use crate::quality::{RESTART_NUMBERS, Verdict};
use crate::row::{self, Origin};
use crate::subscription::Channel;
use crate::tick::BookTick;

/// Changes kept while their snapshot is awaited; beyond them the oldest are let go.
const EARLY_MESSAGES: usize = 4096;

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
    /// It is the best levels alone, to which no change by number may be applied.
    partial: bool,
    early: std::collections::VecDeque<(BookTick, Levels)>,
    pub(super) depth: Option<usize>,
    pub(super) rows_since_whole: usize,
    /// It is to be written whole as soon as the buffer has room.
    pub(super) keyframe_due: bool,
    pub(super) depth_written_ns: i64,
    pub(super) depth_withheld: bool,
    pub(super) top: [Option<Level>; 2],
    /// What tickers say against the best bid and the best ask.
    pub(super) denied: [Denied; 2],
    pub(super) resync: Resync,
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
        if tick.flags & row::MAYBE_BAD_BOOK != 0 {
            // A level could not be read: the others are kept as rows, and the book is no longer right.
            self.push_book(at, tick, levels, &Levels::default(), 0, Verdict::Good);
            self.doubt(at);
        } else if repeated {
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
        let all = 0..self.followed.len();
        let is_named = |at: &usize| named(&self.followed[*at].instrument.raw_symbol);
        let those: Vec<usize> = all.clone().filter(is_named).collect();
        for at in if those.is_empty() { all.collect() } else { those } {
            self.doubt(at);
        }
    }

    /// A message about a book could not be read: the book is bad, and if it was the one asked for,
    /// that one did not come.
    fn doubt(&mut self, at: usize) {
        let kept = self.kept(at);
        if kept.health.stands() {
            self.spoil(at);
        } else {
            // What came before does not join up with what comes next.
            kept.early.clear();
            if kept.resync.is_awaited {
                self.ask_again(at);
            }
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
        let polled =
            tick.flags & row::REST != 0 && kept.streamed && kept.health.stands() && !kept.partial;
        let overtaken = kept.health.stands() && tick.seq.is_some() && tick.seq <= kept.seq;
        if polled || (ranges && (partial || overtaken)) {
            // Folding it in would take the book back, or cut it short.
            let none = Levels::default();
            return self.push_book(at, tick, levels, &none, row::DUPLICATE, Verdict::Good);
        }
        let first = kept.early.front().and_then(|(change, _)| change.seq_first);
        if ranges && first.zip(tick.seq).is_some_and(|(first, seq)| seq.saturating_add(1) < first) {
            let none = Levels::default();
            self.push_book(at, tick, levels, &none, row::MAYBE_BAD_BOOK, Verdict::Good);
            return self.ask_again(at);
        }
        let was_bad = kept.health == Health::Bad || kept.resync.is_reported;
        kept.book.replace(levels);
        kept.seq = tick.seq;
        kept.fresh = true;
        kept.partial = ranges && tick.flags & row::REST == 0;
        kept.keyframe_due = false;
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
        if std::mem::take(&mut kept.partial) && kept.health.stands() {
            // The best levels are no book that a change could be applied to.
            kept.health = Health::Building;
            self.end_quotes_of(at, &[Origin::Book]);
        }
        if !self.kept(at).health.stands() {
            return self.keep_early(at, tick, levels);
        }
        let kept = self.kept(at);
        let (seq, fresh) = (kept.seq.unwrap_or(0), kept.fresh);
        let (first, last) = (tick.seq_first.unwrap_or(0), tick.seq.unwrap_or(0));
        if last <= seq && seq - last >= RESTART_NUMBERS {
            return self.restart_book(at, tick, levels);
        }
        if last <= seq {
            // Right behind a snapshot the stream repeats what the snapshot holds already.
            let verdict = if fresh { Verdict::Good } else { Verdict::Duplicate };
            if self.leaves_out(verdict == Verdict::Duplicate) {
                return;
            }
            let flags = self.judge(at, Channel::Book, verdict, Some(last)) | row::DUPLICATE;
            return self.push_book(at, tick, levels, &none, flags, verdict);
        }
        let expected = seq.saturating_add(1);
        if first <= expected {
            return self.apply(at, tick, levels);
        }
        let verdict = if fresh { Verdict::Good } else { Verdict::Gap { expected } };
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

    /// Keep a change until the book that it changes has come.
    fn keep_early(&mut self, at: usize, tick: BookTick, levels: &Levels) {
        let kept = self.kept(at);
        let next =
            kept.early.back().and_then(|(change, _)| change.seq).map(|seq| seq.saturating_add(1));
        let verdict = match next.zip(tick.seq_first) {
            Some((expected, first)) if first > expected => {
                // A book from before the hole would be of no use.
                kept.early.clear();
                Verdict::Gap { expected }
            }
            _ => Verdict::Good,
        };
        if kept.early.len() == EARLY_MESSAGES {
            kept.early.pop_front();
        }
        kept.early.push_back((tick, levels.clone()));
        let flags = self.judge(at, Channel::Book, verdict, tick.seq_first) | row::MAYBE_BAD_BOOK;
        self.push_book(at, tick, levels, &Levels::default(), flags, verdict);
        self.want_snapshot(at);
    }

    /// The venue numbers its changes anew: the book is another one from here on.
    fn restart_book(&mut self, at: usize, tick: BookTick, levels: &Levels) {
        let expected = self.kept(at).seq.map(|seq| seq.saturating_add(1));
        self.report(at, Channel::Book, "restart", None, [expected, tick.seq, None]);
        self.spoil(at);
        self.kept(at).early.push_back((tick, levels.clone()));
        let none = Levels::default();
        self.push_book(at, tick, levels, &none, row::MAYBE_BAD_BOOK, Verdict::Good);
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

    fn stand(&mut self, at: usize) {
        let (now_ns, verifiable) = (self.now_ns, self.profile.book_verifiable);
        let kept = self.kept(at);
        kept.health = if verifiable { Health::Ok } else { Health::Unverifiable };
        kept.resync.due_ns = None;
        (kept.resync.is_awaited, kept.resync.is_reported) = (false, false);
        if kept.resync.good_since_ns == 0 {
            kept.resync.good_since_ns = now_ns;
        }
    }
}
