//! When the books of a market are asked for: at first, again when they do not come or go bad.

use super::Market;
use crate::subscription::Channel;

const SECOND_NS: i64 = 1_000_000_000;
/// An asked-for snapshot that has not come after this time is asked for again.
const ANSWER_NS: i64 = 10 * SECOND_NS;
/// The longest wait between two requests for a book that will not be right.
const WAIT_CAP_NS: i64 = 60 * SECOND_NS;
/// A book that was good for so long is asked for at once when it goes bad.
const HEALTHY_NS: i64 = 60 * SECOND_NS;

/// When a snapshot is to be asked for.
#[derive(Debug, Default)]
pub(super) struct Resync {
    pub(super) due_ns: Option<i64>,
    pub(super) asked_ns: i64,
    pub(super) tries: u32,
    /// It was reported that it did not come.
    pub(super) is_reported: bool,
    /// It was asked for, or subscribed to, and has not come.
    pub(super) is_awaited: bool,
    pub(super) good_since_ns: i64,
}

impl Market {
    /// A book was subscribed to whose snapshot comes by the stream: see to it that it does.
    pub fn await_snapshot(&mut self, at: usize) {
        let now_ns = self.now_ns;
        let kept = self.kept(at);
        if !kept.health.stands() && kept.resync.due_ns.is_none() {
            kept.resync.asked_ns = now_ns;
            kept.resync.is_awaited = true;
            kept.resync.due_ns = Some(now_ns + ANSWER_NS);
            self.snapshots_wanted = self.live;
        }
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
            // What went wrong was reported with the request.
            resync.is_awaited = false;
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
        due.into_iter().map(|(_, at)| self.ask_for_snapshot(at)).collect()
    }

    /// Note that a book is asked for now, and report it if the one before did not come.
    fn ask_for_snapshot(&mut self, at: usize) -> String {
        let now_ns = self.now_ns;
        let resync = &mut self.kept(at).resync;
        let waited_s = (now_ns - resync.asked_ns) / SECOND_NS;
        let is_missing = std::mem::replace(&mut resync.is_awaited, true);
        let before = u64::from(resync.tries);
        resync.is_reported |= is_missing;
        resync.asked_ns = now_ns;
        resync.tries += 1;
        resync.due_ns = Some(now_ns + ANSWER_NS.max(wait_ns(resync.tries)));
        if is_missing {
            let detail =
                format!("the book did not come within {waited_s} s: it is asked for again");
            self.report(
                at,
                Channel::Book,
                "book_missing",
                Some(detail),
                [None, None, Some(before)],
            );
        }
        self.followed[at].instrument.raw_symbol.clone()
    }

    pub(super) fn ask_again(&mut self, at: usize) {
        let now_ns = self.now_ns;
        let resync = &mut self.kept(at).resync;
        if resync.good_since_ns > 0 && now_ns - resync.good_since_ns >= HEALTHY_NS {
            resync.tries = 0;
        }
        resync.good_since_ns = 0;
        resync.is_awaited = false;
        resync.due_ns = Some(now_ns.max(resync.asked_ns + wait_ns(resync.tries)));
        self.snapshots_wanted = self.live;
    }
}

/// How long to wait after so many requests before the next one.
fn wait_ns(tries: u32) -> i64 {
    match tries {
        0 => 0,
        _ => (SECOND_NS << (tries - 1).min(10)).min(WAIT_CAP_NS),
    }
}
