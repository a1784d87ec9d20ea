//! REST in place of the stream: taken up when the socket cannot be had, given back when it is healthy.

use super::{MS, SECOND, Session};
use crate::subscription::Channel;
use crate::venue::InstrumentList;

/// How long a socket must bring data before REST gives back to it.
const HEALTHY_NS: i64 = 2 * SECOND;
/// How long to wait for an instrument list before symbols are taken at their word.
const LIST_NS: i64 = 5 * SECOND;

/// What is asked for instead of streamed, and when next.
#[derive(Debug)]
pub(super) struct Polling {
    pub(super) since_ns: i64,
    pub(super) next_ns: i64,
    wanted: Vec<(Channel, String)>,
    /// The sources were looked up, though none may have been found.
    pub(super) resolved: bool,
    why: String,
}

impl Session {
    /// REST takes over, because of `why`; rows come from the polls that `tick` asks for.
    pub fn fall_back(&mut self, conn: u32, now_ns: i64, why: &str) {
        if self.polling.is_some() {
            return;
        }
        self.begin(conn, now_ns);
        self.market.now_ns = now_ns;
        self.ask_for_list();
        let detail = Some(why.to_owned());
        self.market.status("connection", None, "polling", "fallback", detail, [None; 3]);
        let (wanted, why) = (Vec::new(), why.to_owned());
        let (since_ns, next_ns, resolved) = (now_ns, now_ns, false);
        self.polling = Some(Polling { since_ns, next_ns, wanted, resolved, why });
        self.market.flush();
    }

    /// Ask for what is due; give back to the socket once it has proved itself.
    pub(super) fn poll(&mut self) {
        let now_ns = self.market.now_ns;
        if self.is_stream_healthy() {
            return self.hand_back();
        }
        let Some(polling) = &self.polling else { return };
        let (since_ns, next_ns) = (polling.since_ns, polling.next_ns);
        if !polling.resolved {
            let known = matches!(self.market.profile.instruments, InstrumentList::None)
                || self.market.list.is_some();
            if known || now_ns - since_ns >= LIST_NS {
                let wanted = if self.watch.open { self.wanted() } else { self.resolve() };
                if let Some(polling) = &mut self.polling {
                    polling.resolved = !self.watch.open || !wanted.is_empty();
                    polling.wanted = wanted;
                }
            }
        }
        // A poll that the venue's limits still hold back is not asked for twice.
        if now_ns >= next_ns && self.fetches.is_empty() {
            let interval_ns = self.interval_ns();
            if let Some(polling) = &mut self.polling {
                polling.next_ns = now_ns + interval_ns;
                for fetch in self.dialect.poll(&polling.wanted) {
                    self.fetches.add(fetch);
                }
            }
        }
    }

    pub(super) fn interval_ns(&self) -> i64 {
        let interval_ms = match self.options.interval_ms {
            0 => self.market.profile.poll_ms,
            asked => asked,
        };
        interval_ms as i64 * MS
    }

    /// How old the last answer of a polled source may be: the venue's limits may stretch a round.
    pub(super) fn answer_due_ns(&self) -> i64 {
        let wanted = self.polling.as_ref().map_or(0, |polling| polling.wanted.len());
        let seconds = wanted * self.sharing / self.market.profile.fetches_per_second;
        let round_ns = seconds as i64 * SECOND;
        3 * self.interval_ns().max(round_ns)
    }

    /// Why REST stands in, if it does.
    pub(super) fn polling_because(&self) -> Option<String> {
        self.polling.as_ref().map(|polling| polling.why.clone())
    }

    /// For how long REST has stood in.
    pub(super) fn polled_ns(&self) -> i64 {
        self.polling.as_ref().map_or(0, |polling| self.market.now_ns - polling.since_ns)
    }

    pub(super) fn wanted(&self) -> Vec<(Channel, String)> {
        self.subscriptions.iter().map(|sub| (sub.channel, sub.raw_symbol.clone())).collect()
    }

    fn is_stream_healthy(&self) -> bool {
        let (now_ns, watch) = (self.market.now_ns, &self.watch);
        // What a line brought before REST took over says nothing for it: it may be half open.
        let since_ns = self.polling.as_ref().map_or(0, |polling| polling.since_ns);
        watch.open
            && !watch.leaving
            && now_ns - watch.opened_ns >= HEALTHY_NS
            && self.market.stream_ns > watch.opened_ns.max(since_ns)
    }

    fn hand_back(&mut self) {
        self.polling = None;
        self.take_back_fills();
        self.fetches.clear();
        self.listing.forget_requests(self.market.now_ns);
        self.market.end_rest_quotes();
        let detail = Some("the stream brings data again".to_owned());
        self.market.status("connection", None, "connected", "handback", detail, [None; 3]);
    }
}
