//! How a session ends: what its last rows say, and what it leaves to the one that comes next.

use super::{Session, Shown};

/// Why an instrument stopped that is followed no longer: readers of rows know it by this text.
pub(super) const REMOVED: &str = "removed on request";

impl Session {
    /// Only these symbols are still followed after this session is closed.
    ///
    /// If it `goes_on`, another session connects to them: nobody stopped them.
    pub fn keep(&mut self, symbols: Vec<String>, goes_on: bool) {
        (self.kept, self.goes_on) = (Some(symbols), goes_on);
    }

    /// What was stopped on request is started again: another session connects to it.
    pub fn go_on(&mut self, now_ns: i64) {
        self.market.now_ns = now_ns;
        for at in 0..self.shown.len() {
            let Shown { state, detail } = &self.shown[at];
            if *state == "stopped" && detail.as_deref() != Some(REMOVED) {
                self.show(at, "initialising", "initialising", None);
            }
        }
        self.market.flush();
    }

    /// The connection ended, or could not be had; `kind` is `stopped` if it was on request.
    pub fn closed(&mut self, conn: u32, now_ns: i64, kind: &str, why: &str) {
        self.begin(conn, now_ns);
        self.market.write_withheld_depths(i64::MAX);
        if !self.options.live {
            return self.market.flush();
        }
        (self.watch.open, self.watch.subscribed) = (false, false);
        if self.options.twice {
            self.tell_repeats(i64::MAX);
        }
        if self.standby.is_some() {
            self.closed_beside(now_ns, kind, why);
        }
        let stopped = kind == "stopped";
        let state = if stopped { "stopped" } else { "failed" };
        if stopped {
            self.polling = None;
        }
        self.market.end_quotes(self.polling.is_some());
        self.market.forget_books(self.polling.is_some());
        self.market.status("connection", None, state, kind, Some(why.into()), [None; 3]);
        if self.subscriptions.is_empty() {
            self.resolve();
        }
        if self.polling.is_none() {
            let kept = if stopped { self.kept_raw_symbols() } else { None };
            if stopped && self.kept.is_none() {
                self.stop_waiting(why);
            }
            self.show_end(state, kind, why, kept.as_deref());
            if stopped {
                let is_kept = |raw: &str| kept.iter().flatten().any(|kept| kept == raw);
                self.market.hand_over(|raw| self.goes_on && is_kept(raw), why);
            }
        }
        self.market.flush();
    }

    /// The payloads of a session end in a file; other ones go on at once with these raw symbols.
    pub fn left(&mut self, raw_symbols: &[String], now_ns: i64) {
        self.market.now_ns = now_ns;
        self.market.write_withheld_depths(i64::MAX);
        self.market.end_quotes(false);
        self.market.forget_books(false);
        self.market.hand_over(|raw| raw_symbols.iter().any(|one| one == raw), "");
        self.market.flush();
    }
}
