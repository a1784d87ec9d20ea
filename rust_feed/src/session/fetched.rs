//! What a session makes of REST's answers, and what it asks for to fill a gap of trades.

use super::answers::described;
use super::{Session, tell_undecodable};
use crate::fill::Fill;
use crate::subscription::Fetch;
use crate::venue::DecodeError;

impl Session {
    /// A REST body came.
    pub fn fetched(&mut self, conn: u32, url: &str, body: &str, now_ns: i64, flags: u32) {
        if self.market.handed_over {
            return;
        }
        self.begin(conn, now_ns);
        self.market.common_flags = flags;
        self.market.takes_polled = self.polling.is_some() || !self.options.live;
        let (address, fill) = Fill::part(url);
        if fill.is_some_and(|fill| !self.market.begin_fill(fill)) {
            return self.market.flush();
        }
        self.market.keep_request("fetched", url);
        self.market.begin(body);
        let failure = match self.dialect.fetched(address, body, &mut self.market) {
            Ok(()) => {
                self.failure = None;
                None
            }
            Err(DecodeError::Refused(why)) => {
                self.tell_failure(url, "fetch_failed", &why);
                Some(why)
            }
            Err(error) => {
                let why = error.to_string();
                if !self.is_told_of_list(url, &why) {
                    tell_undecodable(&mut self.market, &why, body, "connected");
                }
                self.failure = Some(described(url, &why));
                self.market.hasten_snapshots();
                Some(why)
            }
        };
        self.note_list(url, failure.as_deref());
        self.market.end_fill(failure.as_deref());
        if !self.options.live {
            self.market.notices.clear();
            self.market.asks.clear();
        }
        self.market.flush();
    }

    /// A REST body could not be had.
    ///
    /// `kind` is that of the status row: `fetch_failed`, `rate_limited`, `geo_blocked`, `auth_failed`;
    /// none for a request that was not made, since the venue wants to be left in peace.
    pub fn fetch_failed(&mut self, conn: u32, url: &str, kind: &str, why: &str, now_ns: i64) {
        self.begin(conn, now_ns);
        if !kind.is_empty() {
            self.tell_failure(url, kind, why);
            self.market.hasten_snapshots();
        }
        // A request that was not made has no reason of its own.
        let before = self.listing.failure.clone().filter(|_| kind.is_empty());
        self.note_list(url, Some(before.as_deref().unwrap_or(why)));
        if let (_, Some(fill)) = Fill::part(url) {
            self.market.fail_fill(fill, kind, why);
        }
        self.market.flush();
    }

    /// The requests that wait will not be made: what was missing is still to be asked for.
    pub(super) fn take_back_fills(&mut self) {
        for fetch in self.fetches.waiting() {
            if let (_, Some(fill)) = Fill::part(&fetch.path) {
                self.market.ask_fill_again(&fill);
            }
        }
    }

    /// Ask for missing trades, if any are due and nothing else waits to be asked for.
    pub(super) fn ask_for_missing(&mut self) {
        let is_up = self.watch.open && !self.watch.leaving;
        if !(is_up || self.polling.is_some()) || !self.fetches.is_empty() {
            return;
        }
        while let Some(missing) = self.market.due_fill() {
            let fill = &missing.fill;
            if let Some(Fetch { path, body }) = self.dialect.fill(&missing) {
                return self.fetches.add(Fetch { path: fill.mark(&path), body });
            }
            self.market.forget_fill(fill);
        }
    }
}
