//! What a session concludes from time alone: is the line alive, and what state is each source in?

use super::{Action, SECOND, Session, Shown};
use crate::subscription::{Channel, Standing};

/// Data younger than this makes a source `connected`.
const FRESH_NS: i64 = 5 * SECOND;
/// After this silence the line is asked for a sign of life.
pub(super) const PING_NS: i64 = 10 * SECOND;
/// No frame at all for so long, in spite of pings: the connection is half open.
pub(super) const ANY_FRAME_NS: i64 = 24 * SECOND;
/// Only heartbeats for so long: told as `no_data`.
const NO_DATA_NS: i64 = 30 * SECOND;
/// Only heartbeats for so long: worth a new connection.
const DATA_FRAME_NS: i64 = 120 * SECOND;
/// A second connection that could not be had is tried again after so long.
const REPLACE_EVERY_NS: i64 = 10 * SECOND;
/// How often the venue's clock is estimated.
const OFFSET_EVERY_NS: i64 = 60 * SECOND;
/// Acknowledged and never any data for so long: told as `silent`.
const SILENT_NS: i64 = 60 * SECOND;

impl Session {
    pub(super) fn watch_line(&mut self, actions: &mut Vec<Action>) {
        let now = self.market.now_ns;
        let quiet_ns = now - self.watch.frame_ns;
        let latest_data = self
            .market
            .followed
            .iter()
            .flat_map(|f| &f.meters)
            .filter_map(|m| m.last_recv_ns)
            .max();
        self.watch.data_ns = self.watch.data_ns.max(latest_data.unwrap_or(0));
        let dataless_ns = now - self.watch.data_ns;
        if quiet_ns >= ANY_FRAME_NS {
            let why = format!("no frame for {} s, pings unanswered", quiet_ns / SECOND);
            self.market.status(
                "connection",
                None,
                "stale",
                "half_open",
                Some(why.clone()),
                [None; 3],
            );
            self.leave(why, actions);
        } else if dataless_ns >= DATA_FRAME_NS
            && !self.subscriptions.is_empty()
            && !self.market.profile.closes
        {
            self.leave(format!("no data for {} s", dataless_ns / SECOND), actions);
        } else if dataless_ns >= NO_DATA_NS
            && !self.watch.no_data_told
            && !self.subscriptions.is_empty()
        {
            self.watch.no_data_told = true;
            let why = format!("the line is alive, but no data for {} s", dataless_ns / SECOND);
            self.market.status("connection", None, "stale", "no_data", Some(why), [None; 3]);
        } else if dataless_ns < FRESH_NS {
            self.watch.no_data_told = false;
        }
        // Kraken wants a request within each minute even while it sends; a ping costs nothing elsewhere.
        if !self.watch.leaving && now - self.watch.ping_ns >= PING_NS {
            self.watch.ping_ns = now;
            match self.market.profile.ping {
                Some(text) => self.pacer.add(text.into()),
                None => actions.push(Action::Ping),
            }
        }
    }

    /// Have a second connection opened in time for the end of this one.
    pub(super) fn watch_life(&mut self, actions: &mut Vec<Action>) {
        self.tell_repeats(self.market.now_ns);
        let now = self.market.now_ns;
        if let Some(standby) = &self.standby {
            if standby.joined && self.ends() {
                actions.push(Action::TakeOver);
            }
        } else if self.wants_second() {
            actions.push(Action::Replace("two connections are wanted".into()));
        } else if self.ends() && now - self.replace_ns >= REPLACE_EVERY_NS {
            self.replace_ns = now;
            let why = if self.watch.ends { "the venue announced its end" } else { "it is old" };
            actions.push(Action::Replace(why.into()));
        }
    }

    pub(super) fn leave(&mut self, why: String, actions: &mut Vec<Action>) {
        self.watch.leaving = true;
        actions.push(Action::Reconnect(why));
    }

    pub(super) fn show_states(&mut self) {
        let now = self.market.now_ns;
        for at in 0..self.market.followed.len() {
            let meters = &self.market.followed[at].meters;
            let data = meters.iter().filter_map(|meter| meter.last_recv_ns).max();
            let data = data.filter(|data| *data >= self.watch.opened_ns);
            let wanted = || self.subscriptions.iter().filter(|sub| sub.at == at);
            let refused = wanted().find_map(|sub| match &sub.standing {
                Standing::Refused(reason) => Some(reason.clone()),
                _ => None,
            });
            let accepted = wanted().find_map(|sub| match sub.standing {
                Standing::Accepted { since_ns } => Some(since_ns),
                _ => None,
            });
            let age = data.map(|data| now - data);
            if let Some(why) = self.polling_because() {
                match refused {
                    Some(reason) if age.is_none() => {
                        self.show(at, "failed", "refused", Some(reason));
                    }
                    _ => self.show_polled(at, why),
                }
                continue;
            }
            match (age, refused, accepted) {
                (Some(age), refused, _) if age < FRESH_NS => {
                    self.show(at, "connected", "connected", refused);
                }
                (None, Some(reason), None) => self.show(at, "failed", "refused", Some(reason)),
                (Some(_), ..) if self.watch.no_data_told => {
                    self.show(at, "stale", "no_data", Some("heartbeats only".into()));
                }
                (Some(_), refused, _) => self.show(at, "quiet", "quiet", refused),
                (None, _, Some(since)) if now - since >= SILENT_NS => {
                    let why = "acknowledged, but no data ever came".to_owned();
                    self.show(at, "stale", "silent", Some(why));
                }
                // Not every venue acknowledges: what was asked for at the opening is overdue.
                (None, None, None)
                    if wanted().next().is_some() && now - self.watch.asked_ns >= SILENT_NS =>
                {
                    let why = "asked for, but neither an answer nor data ever came".to_owned();
                    self.show(at, "stale", "silent", Some(why));
                }
                _ => self.show(at, "initialising", "initialising", None),
            }
        }
    }

    /// A polled source is `polling` while answers come, and `stale` when they do not.
    fn show_polled(&mut self, at: usize, why: String) {
        let followed = &self.market.followed[at];
        let data = followed.meters.iter().filter_map(|m| m.last_recv_ns).max();
        let last = data.max(followed.answered_ns);
        let fresh_ns = FRESH_NS.max(self.answer_due_ns());
        match last.map(|last| self.market.now_ns - last) {
            Some(age_ns) if age_ns > fresh_ns => {
                let failure = self.failure.as_deref().unwrap_or("nothing new by REST");
                let state = if self.failure.is_some() { "failed" } else { "stale" };
                self.show(at, state, "polling", Some(format!("{why}; {failure}")));
            }
            None if self.failure.is_some() => {
                let failure = self.failure.as_deref().unwrap_or_default();
                self.show(at, "failed", "polling", Some(format!("{why}; {failure}")));
            }
            None if self.polled_ns() > fresh_ns => {
                let detail = format!("{why}; no answer by REST yet");
                self.show(at, "stale", "polling", Some(detail));
            }
            _ => self.show(at, "polling", "polling", Some(why)),
        }
    }

    /// Write the state of a followed symbol if it is not the one written last.
    pub(super) fn show(
        &mut self,
        at: usize,
        state: &'static str,
        kind: &str,
        detail: Option<String>,
    ) {
        let shown = Shown { state, detail };
        if self.shown.get(at) == Some(&shown) {
            return;
        }
        if self.options.live {
            self.market.status("symbol", Some(at), state, kind, shown.detail.clone(), [None; 3]);
        }
        while self.shown.len() <= at {
            self.shown.push(Shown { state: "", detail: None });
        }
        self.shown[at] = shown;
    }

    pub(super) fn measure(&mut self) {
        let now = self.market.now_ns;
        if now / SECOND == self.watch.stat_ns / SECOND {
            return;
        }
        self.watch.stat_ns = now;
        self.tell_clock_offset();
        for at in 0..self.market.followed.len() {
            for channel in Channel::ALL {
                if self.subscriptions.iter().any(|sub| sub.at == at && sub.channel == channel) {
                    self.market.push_stat(at, channel);
                }
            }
        }
    }

    /// Tell the lowest latency of the last minute: all that can be known of the venue's clock.
    fn tell_clock_offset(&mut self) {
        let now = self.market.now_ns;
        if now - self.watch.offset_ns < OFFSET_EVERY_NS {
            return;
        }
        self.watch.offset_ns = now;
        let Some(lowest_ns) = self.market.lowest_latency_ns.take() else { return };
        let ms = lowest_ns as f64 / 1e6;
        let meaning = if lowest_ns < 0 {
            "the venue's clock is ahead by at least that"
        } else {
            "the venue's clock is behind by at most that"
        };
        let detail = Some(format!("lowest latency {ms:.3} ms: {meaning}"));
        let kind = "clock_offset";
        self.market.status("connection", None, "connected", kind, detail, [None; 3]);
    }
}
