//! Two connections to the same streams for good: what one brings first counts, and one may fail.

use super::standby::REPEATS_NS;
use super::watch::{ANY_FRAME_NS, PING_NS};
use super::{Action, SECOND, Session, decode};
use crate::subscription::Standing;
use crate::tick::Notice;

/// How often it is told how many repeats were left out.
const TOLD_EVERY_NS: i64 = 60 * SECOND;

impl Session {
    /// Whether a second connection is to be opened: all that the first one asked for is answered.
    pub(super) fn wants_second(&self) -> bool {
        let asked = |standing: &Standing| *standing == Standing::Asked;
        self.options.twice
            && !self.subscriptions.is_empty()
            && !self.subscriptions.iter().any(|subscription| asked(&subscription.standing))
    }

    /// Read the second connection beside the first from now on, what was kept of it before all.
    ///
    /// So long both have brought the same that the first is not behind what the second began with,
    /// and something came by the first since then: it is not lost without anybody knowing.
    pub(super) fn join(&mut self, now_ns: i64) {
        if self.standby.as_ref().is_none_or(|standby| standby.joined) {
            return;
        }
        self.tell_repeats(i64::MAX);
        let first = self.market.conn;
        let Some(standby) = &mut self.standby else { return };
        standby.joined = true;
        let detail = format!("{}, beside connection {first}", standby.address);
        let kept = std::mem::take(&mut standby.kept);
        self.market.leave_out_repeats_until(i64::MAX);
        self.begin_second(now_ns);
        self.market.status("connection", None, "connected", "connected", Some(detail), [None; 3]);
        if let Some(standby) = &mut self.standby {
            for (ts_recv, text) in kept {
                self.market.now_ns = ts_recv;
                decode(&text, &mut *standby.dialect, &mut self.market, "connected");
            }
        }
        self.market.now_ns = now_ns;
        self.end_second();
    }

    /// What is read from here on came by the second connection, if it has joined.
    pub(super) fn begin_second(&mut self, now_ns: i64) {
        if let Some(standby) = self.standby.as_mut().filter(|standby| standby.joined) {
            self.market.now_ns = now_ns;
            self.market.second = true;
            // Each keeps the number of the other while that is read.
            std::mem::swap(&mut self.market.conn, &mut standby.conn);
        }
    }

    pub(super) fn end_second(&mut self) {
        if !std::mem::take(&mut self.market.second) {
            return;
        }
        // Its subscriptions are those of the first, and its end is met when it comes.
        self.market.notices.retain(|notice| matches!(notice, Notice::Error(_)));
        self.answer_notices();
        if let Some(standby) = &mut self.standby {
            std::mem::swap(&mut self.market.conn, &mut standby.conn);
        }
        self.market.flush();
    }

    /// Keep the second connection alive, or leave it.
    pub(super) fn watch_second(&mut self, now_ns: i64) -> Vec<Action> {
        let Some(standby) = self.standby.as_mut().filter(|standby| standby.joined) else {
            return Vec::new();
        };
        let quiet_ns = now_ns - standby.frame_ns;
        if quiet_ns >= ANY_FRAME_NS {
            let why = format!("no frame for {} s, pings unanswered", quiet_ns / SECOND);
            return vec![Action::Reconnect(why)];
        }
        if now_ns - standby.ping_ns < PING_NS {
            return Vec::new();
        }
        standby.ping_ns = now_ns;
        match self.market.profile.ping {
            Some(text) => standby.pacer.add(text.into()),
            None => return vec![Action::Ping],
        }
        Vec::new()
    }

    /// The first connection was lost; `TakeOver` if the second goes on in its place.
    pub fn lost(&mut self, now_ns: i64, why: &str) -> Vec<Action> {
        let Some(standby) = self.standby.as_ref().filter(|standby| standby.joined) else {
            return Vec::new();
        };
        let detail = format!("{why}; connection {} goes on", standby.conn);
        self.market.now_ns = now_ns;
        let kind = "disconnected";
        self.market.status("connection", None, "connected", kind, Some(detail), [None; 3]);
        self.market.flush();
        vec![Action::TakeOver]
    }

    /// The second connection ended, or could not be had; `kind` is as that of `closed`.
    pub fn closed_beside(&mut self, now_ns: i64, kind: &str, why: &str) {
        let Some(standby) = self.standby.take() else {
            if self.options.twice && self.watch.open {
                self.market.now_ns = now_ns;
                let detail = Some(format!("of the second connection: {why}"));
                self.market.status("connection", None, "connected", kind, detail, [None; 3]);
                self.market.flush();
            }
            return;
        };
        if !self.options.twice {
            return;
        }
        self.market.now_ns = now_ns;
        let first = std::mem::replace(&mut self.market.conn, standby.conn);
        let (state, detail) = match (self.watch.open, kind) {
            (true, _) => ("connected", format!("{why}; connection {first} goes on")),
            (false, "stopped") => ("stopped", why.to_owned()),
            (false, _) => ("failed", why.to_owned()),
        };
        self.market.status("connection", None, state, kind, Some(detail), [None; 3]);
        self.market.conn = first;
        if standby.joined {
            self.market.leave_out_repeats_until(now_ns + REPEATS_NS);
        }
        self.market.flush();
    }

    /// Tell how many repeats were left out: once no more can come, or, of two connections that stay,
    /// every now and then.
    pub(super) fn tell_repeats(&mut self, by_ns: i64) {
        let (kind, count, detail) = if self.options.twice {
            if by_ns.saturating_sub(TOLD_EVERY_NS) < self.repeats_told_ns {
                return;
            }
            self.repeats_told_ns = self.market.now_ns;
            let joined = self.standby.as_ref().is_some_and(|standby| standby.joined);
            match self.market.count_repeats() {
                0 if !joined => return,
                count => ("redundant", count, "messages that the other connection brought first"),
            }
        } else {
            match self.market.repeats_left_out(by_ns) {
                Some(count) => {
                    ("replaced", count, "a new connection replaced the old one without a gap")
                }
                None => return,
            }
        };
        let numbers = [None, None, Some(count)];
        let detail = Some(detail.to_owned());
        self.market.status("connection", None, "connected", kind, detail, numbers);
    }

    /// Begin anew: nothing that was told of goes on.
    pub(super) fn forget_told(&mut self, now_ns: i64) {
        if self.options.twice {
            self.tell_repeats(i64::MAX);
            self.market.forget_told();
            self.repeats_told_ns = now_ns;
        }
    }
}
