//! The venue's instrument list while there is none: asked for again, and the sources that wait for it.

use rustc_hash::FxHashMap;

use super::{Action, SECOND, Session};
use crate::subscription::{Fetch, Subscription};
use crate::venue::InstrumentList;

/// Why a pattern is no source any more that was told of as one: readers of rows know this text.
const FOUND: &str = "its instruments are followed";
/// After a failure the list is asked for again so soon; each further one doubles the wait.
const FIRST_NS: i64 = SECOND;
const MOST_NS: i64 = 30 * SECOND;
/// A request that was not answered for so long is made again.
const ANSWER_NS: i64 = 30 * SECOND;

#[derive(Debug, Default)]
pub(super) struct Listing {
    due_ns: i64,
    failures: u32,
    /// Why the last request brought no list.
    pub(super) failure: Option<String>,
    /// The sources that no instrument is known of, and what was last told of each; nothing at first.
    waiting: FxHashMap<String, String>,
    /// Some source has no instrument for want of the list.
    pub(super) is_wanted: bool,
}

impl Listing {
    /// Requests that waited were dropped.
    pub(super) fn forget_requests(&mut self, now_ns: i64) {
        self.due_ns = now_ns + self.pause_ns();
    }

    pub(super) fn shift(&mut self, by_ns: i64) {
        self.due_ns += by_ns;
    }

    fn pause_ns(&self) -> i64 {
        let doubled = FIRST_NS << self.failures.saturating_sub(1).min(8);
        if self.failures == 0 { 0 } else { doubled.min(MOST_NS) }
    }
}

impl Session {
    /// Say of each source that it is asked for, before anything is known of it.
    ///
    /// The list, or the venue's address, may take long to come.
    pub fn expect(&mut self, now_ns: i64) {
        if !self.options.live || self.options.part > 0 {
            return;
        }
        self.market.now_ns = now_ns;
        for source in &self.options.sources {
            if self.listing.waiting.insert(source.symbol.clone(), String::new()).is_none() {
                self.market.status_of(&source.symbol, "initialising", "initialising", None);
            }
        }
        self.market.flush();
    }

    /// Whether the venue has an instrument list, and it is not known yet.
    pub(super) fn lacks_list(&self) -> bool {
        self.list_path().is_some() && self.market.list.is_none()
    }

    /// Where the list comes by REST.
    pub(super) fn list_path(&self) -> Option<&'static str> {
        match self.market.profile.instruments {
            InstrumentList::Rest(path) | InstrumentList::InBand { path, .. } => Some(path),
            InstrumentList::None => None,
        }
    }

    /// Request the list, if it is time to.
    pub(super) fn ask_for_list(&mut self) {
        let now_ns = self.market.now_ns;
        if !self.lacks_list() || now_ns < self.listing.due_ns {
            return;
        }
        if let Some(path) = self.list_path() {
            self.listing.due_ns = now_ns + ANSWER_NS;
            self.fetches.add(Fetch::get(path));
        }
    }

    /// A request was answered, if for the list: without one it is made again, and its sources say why.
    pub(super) fn note_list(&mut self, url: &str, failure: Option<&str>) {
        if !self.options.live || self.list_path() != Some(url) {
            return;
        }
        if !self.lacks_list() {
            (self.listing.failures, self.listing.failure) = (0, None);
            return;
        }
        let empty = "expected instruments in the list, found none";
        if failure.is_none() && !self.is_told_of_list(url, empty) {
            self.tell_failure(url, "fetch_failed", empty);
        }
        self.listing.failures += 1;
        self.listing.failure = Some(failure.unwrap_or(empty).to_owned());
        self.listing.due_ns = self.market.now_ns + self.listing.pause_ns();
        // A source that nothing was told of yet may need no list.
        let told = self.listing.waiting.iter().filter(|(_, told)| !told.is_empty());
        for symbol in told.map(|(symbol, _)| symbol.clone()).collect::<Vec<_>>() {
            self.refuse(&symbol);
        }
    }

    /// Whether an unreadable list was told of already.
    pub(super) fn is_told_of_list(&self, url: &str, why: &str) -> bool {
        self.list_path() == Some(url) && self.listing.failure.as_deref() == Some(why)
    }

    /// Follow what waited for the list, now that it is known: beside what is streamed already.
    pub(super) fn follow_listed(&mut self, actions: &mut Vec<Action>) {
        if !self.listing.is_wanted || self.lacks_list() {
            return;
        }
        self.listing.is_wanted = false;
        if let Some(polling) = &mut self.polling {
            polling.resolved = false;
        }
        if !self.watch.open || self.watch.leaving || !self.watch.subscribed {
            return;
        }
        let before = std::mem::take(&mut self.subscriptions);
        let wanted = self.resolve();
        let is_same = |one: &Subscription, other: &Subscription| {
            one.channel == other.channel && one.raw_symbol == other.raw_symbol
        };
        if !before.iter().all(|old| self.subscriptions.iter().any(|new| is_same(old, new))) {
            return self.leave("the instrument list came".into(), actions);
        }
        let mut further = Vec::new();
        for (at, new) in self.subscriptions.iter_mut().enumerate() {
            match before.iter().find(|old| is_same(old, new)) {
                Some(old) => *new = old.clone(),
                None => further.push(at),
            }
        }
        // The further ones are as young as if the line had just been opened.
        (self.watch.data_ns, self.watch.asked_ns) = (self.market.now_ns, self.market.now_ns);
        let asked: Vec<_> = further.iter().map(|at| wanted[*at].clone()).collect();
        for request in self.dialect.subscribe(&asked) {
            for at in &request.covers {
                self.subscriptions[further[*at]].request = Some(request.id);
            }
            self.pacer.add(request.text);
        }
        if let Some(standby) = &mut self.standby {
            standby.subscribe(&asked);
        }
    }

    /// Tell of a source that no instrument is known of: for want of the list, or of the symbol in it.
    pub(super) fn refuse(&mut self, symbol: &str) {
        let name = self.market.profile.name;
        if self.lacks_list() {
            let why = self.listing.failure.as_deref().unwrap_or("no answer yet");
            let detail = format!("{name}'s instrument list could not be fetched, retrying: {why}");
            if self.listing.waiting.get(symbol) != Some(&detail) {
                self.market.status_of(symbol, "failed", "fetch_failed", detail.clone());
                self.listing.waiting.insert(symbol.into(), detail);
            }
            return;
        }
        self.listing.waiting.remove(symbol);
        let count = self.market.list.as_ref().map_or(0, std::collections::HashMap::len);
        let detail =
            format!("expected a symbol of {name}'s list of {count} instruments, found {symbol:?}");
        self.market.status_of(symbol, "failed", "refused", detail);
    }

    /// The instruments of a source are known: it is not told of for itself any more.
    pub(super) fn found(&mut self, symbol: &str, raw_symbols: &[String]) {
        if self.listing.waiting.remove(symbol).is_none() {
            return;
        }
        // Rows of an instrument by that name go on.
        if !raw_symbols.iter().any(|raw| self.market.name_of(raw) == symbol) {
            self.market.status_of(symbol, "stopped", "stopped", FOUND.to_owned());
        }
    }

    /// Tell, at the end on request, that nobody waits for the list any more.
    pub(super) fn stop_waiting(&mut self, why: &str) {
        for (symbol, _) in std::mem::take(&mut self.listing.waiting) {
            self.market.status_of(&symbol, "stopped", "stopped", why.to_owned());
        }
    }
}
