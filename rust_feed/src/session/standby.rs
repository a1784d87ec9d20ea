//! A second connection beside one that is to end: opened first, taken over without a gap.
//!
//! Its messages are kept unread until the first connection is left; then those that the first one
//! brought already are left out by their numbers, and counted.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use super::{Action, SECOND, Session, Watch, decode};
use crate::buffer::Buffer;
use crate::frame::{FrameParser, Message};
use crate::market::Market;
use crate::subscription::{Pacer, Standing};
use crate::tick::Notice;
use crate::venue::Dialect;

/// How long both connections bring the same, so that neither lacks what the other had first.
const OVERLAP_NS: i64 = SECOND;
/// How long repeats of the first connection may still come after it was left.
pub(super) const REPEATS_NS: i64 = 5 * SECOND;
/// A subscription that is not answered by then is not waited for.
const ANSWER_NS: i64 = 10 * SECOND;
/// What may be kept unread: far more than an overlap brings.
const KEPT_BYTES: usize = 64 << 20;

pub(super) struct Standby {
    conn: u32,
    address: String,
    dialect: Box<dyn Dialect>,
    parser: FrameParser,
    pacer: Pacer<String>,
    /// Reads the answers to the subscriptions; its rows go nowhere.
    scratch: Market,
    unanswered: HashSet<u64>,
    opened_ns: i64,
    answered_ns: Option<i64>,
    kept: VecDeque<(i64, String)>,
    kept_bytes: usize,
}

impl Session {
    /// Whether the connection is near the end of the life that the venue gives it.
    pub(super) fn is_old(&self) -> bool {
        let age_ns = self.market.now_ns - self.watch.opened_ns;
        self.market.profile.life_s.is_some_and(|life_s| age_ns >= life_s * SECOND)
    }

    /// A second connection, numbered `conn`, was opened.
    pub fn opened_beside(&mut self, conn: u32, now_ns: i64, address: &str) -> Vec<Action> {
        let profile = self.market.profile;
        let mut standby = Standby {
            conn,
            address: address.into(),
            dialect: (profile.open)(),
            parser: FrameParser::default(),
            pacer: Pacer::default(),
            scratch: Market::new(profile, Arc::new(Buffer::new(0))),
            unanswered: HashSet::new(),
            opened_ns: now_ns,
            answered_ns: None,
            kept: VecDeque::new(),
            kept_bytes: 0,
        };
        for request in standby.dialect.subscribe(&self.wanted()) {
            standby.unanswered.insert(request.id);
            standby.pacer.add(request.text);
        }
        self.standby = Some(standby);
        self.tick_beside(now_ns)
    }

    /// Bytes came from the second connection's socket.
    pub fn receive_beside(&mut self, bytes: &[u8], now_ns: i64) -> Vec<Action> {
        let Some(standby) = &mut self.standby else { return Vec::new() };
        standby.parser.extend(bytes);
        let mut actions = Vec::new();
        loop {
            match standby.parser.next_message() {
                Ok(None) => break,
                Ok(Some(Message::Text(text))) => {
                    standby.kept_bytes += text.len();
                    standby.kept.push_back((now_ns, text.into()));
                }
                Ok(Some(Message::Ping(payload))) => actions.push(Action::Pong(payload.to_vec())),
                Ok(Some(Message::Pong | Message::Binary(_))) => {}
                Ok(Some(Message::Close(code, reason))) => {
                    actions.push(super::wire::closed(code, &reason));
                    break;
                }
                Err(error) => {
                    actions.push(Action::Close(Some(error.close_code()), error.to_string()));
                    break;
                }
            }
            standby.read_answers();
        }
        if standby.kept_bytes > KEPT_BYTES {
            actions.push(Action::Reconnect("the overlap brought more than can be kept".into()));
        }
        actions.extend(self.tick_beside(now_ns));
        actions
    }

    /// Time passes for the second connection: `TakeOver` comes when the first may be left.
    pub fn tick_beside(&mut self, now_ns: i64) -> Vec<Action> {
        let per_second = self.market.profile.sends_per_second;
        let Some(standby) = &mut self.standby else { return Vec::new() };
        let send = || standby.pacer.next(now_ns, per_second, 1);
        let mut actions: Vec<Action> = std::iter::from_fn(send).map(Action::Send).collect();
        if standby.unanswered.is_empty() {
            let answered_ns = *standby.answered_ns.get_or_insert(now_ns);
            if now_ns - answered_ns >= OVERLAP_NS {
                actions.push(Action::TakeOver);
            }
        } else if now_ns - standby.opened_ns >= ANSWER_NS {
            actions.push(Action::Reconnect("its subscriptions were not answered".into()));
        }
        actions
    }

    /// The second connection is gone; the first one goes on alone.
    pub fn forget_beside(&mut self) {
        self.standby = None;
    }

    /// The first connection was read to its end: the second one is the connection from now on.
    pub fn take_over(&mut self, now_ns: i64) -> Vec<Action> {
        let Some(standby) = self.standby.take() else { return Vec::new() };
        self.tell_repeats(i64::MAX);
        let replaced = self.market.conn;
        self.market.conn = standby.conn;
        self.market.now_ns = now_ns;
        self.market.keep_request("took_over", &self.options.name);
        let detail = format!("{}, in place of connection {replaced}", standby.address);
        self.market.status("connection", None, "connected", "connected", Some(detail), [None; 3]);
        self.dialect = standby.dialect;
        self.parser = standby.parser;
        self.pacer = standby.pacer;
        self.replace_ns = 0;
        self.watch = Watch {
            open: true,
            subscribed: true,
            opened_ns: standby.opened_ns,
            frame_ns: now_ns,
            data_ns: now_ns,
            ping_ns: now_ns,
            stat_ns: self.watch.stat_ns,
            offset_ns: self.watch.offset_ns,
            ..Watch::default()
        };
        for subscription in &mut self.subscriptions {
            if subscription.standing == Standing::Asked {
                subscription.standing = Standing::Accepted { since_ns: now_ns };
            }
        }
        self.market.leave_out_repeats_until(now_ns + REPEATS_NS);
        for (ts_recv, text) in standby.kept {
            self.market.now_ns = ts_recv;
            decode(&text, &mut *self.dialect, &mut self.market, "connected");
        }
        self.market.now_ns = now_ns;
        self.market.notices.clear();
        self.finish()
    }

    /// Tell how many repeats were left out, once no more can come.
    pub(super) fn tell_repeats(&mut self, by_ns: i64) {
        if let Some(count) = self.market.repeats_left_out(by_ns) {
            let detail = Some("a new connection replaced the old one without a gap".into());
            let numbers = [None, None, Some(count)];
            self.market.status("connection", None, "connected", "replaced", detail, numbers);
        }
    }
}

impl Standby {
    /// Read the last message for what it says of subscriptions; an answer need not be kept.
    fn read_answers(&mut self) {
        if self.unanswered.is_empty() {
            return;
        }
        let Some((_, text)) = self.kept.back() else { return };
        decode(text, &mut *self.dialect, &mut self.scratch, "connected");
        for notice in std::mem::take(&mut self.scratch.notices) {
            if let Notice::Answer { id, .. } = notice {
                self.unanswered.remove(&id);
            }
        }
        self.scratch.discard();
    }
}
