//! A second connection beside one that is to end: opened first, taken over without a gap.
//!
//! Its messages are kept unread until the first connection is left; then those that the first one
//! brought already are left out by their numbers, and counted. Where two connections are wanted for
//! good, the second one is read beside the first from then on (`twice`).

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Action, SECOND, Session, Watch, decode};
use crate::buffer::Buffer;
use crate::frame::{FrameParser, Message};
use crate::market::Market;
use crate::subscription::{Channel, Pacer, Standing};
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
    pub(super) conn: u32,
    pub(super) address: String,
    pub(super) dialect: Box<dyn Dialect>,
    pub(super) parser: FrameParser,
    pub(super) pacer: Pacer<String>,
    /// Reads the answers to the subscriptions; its rows go nowhere.
    scratch: Market,
    /// What was asked for: the request's id, the channel and the raw symbol.
    unanswered: Vec<(u64, Channel, String)>,
    pub(super) opened_ns: i64,
    pub(super) answered_ns: Option<i64>,
    pub(super) kept: VecDeque<(i64, String)>,
    kept_bytes: usize,
    /// It is read beside the first one, and of each message the one that comes first counts.
    pub(super) joined: bool,
    pub(super) frame_ns: i64,
    pub(super) ping_ns: i64,
}

impl Session {
    /// Whether the venue announced the connection's end, or it is near that of the life it is given.
    pub(super) fn ends(&self) -> bool {
        let age_ns = self.market.now_ns - self.watch.opened_ns;
        let life_s = self.market.profile.life_s;
        self.watch.ends || life_s.is_some_and(|life_s| age_ns >= life_s * SECOND)
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
            unanswered: Vec::new(),
            opened_ns: now_ns,
            answered_ns: None,
            kept: VecDeque::new(),
            kept_bytes: 0,
            joined: false,
            frame_ns: now_ns,
            ping_ns: now_ns,
        };
        standby.subscribe(&self.wanted());
        self.standby = Some(standby);
        self.tick_beside(now_ns)
    }

    /// Bytes came from the second connection's socket.
    pub fn receive_beside(&mut self, bytes: &[u8], now_ns: i64) -> Vec<Action> {
        if self.market.handed_over {
            return Vec::new();
        }
        self.begin_second(now_ns);
        let Some(standby) = &mut self.standby else { return Vec::new() };
        standby.frame_ns = now_ns;
        standby.parser.extend(bytes);
        let mut actions = Vec::new();
        loop {
            match standby.parser.next_message() {
                Ok(None) => break,
                Ok(Some(Message::Text(text))) if standby.joined => {
                    decode(text, &mut *standby.dialect, &mut self.market, "connected");
                }
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
        self.end_second();
        actions.extend(self.tick_beside(now_ns));
        actions
    }

    /// Time passes for the second connection: `TakeOver` comes when the first may be left.
    pub fn tick_beside(&mut self, now_ns: i64) -> Vec<Action> {
        let mut actions = self.watch_second(now_ns);
        let (profile, goes_on) = (self.market.profile, self.options.twice && !self.ends());
        let Some(standby) = &mut self.standby else { return Vec::new() };
        let per_second = profile.sends_per_second;
        let send = || standby.pacer.next(now_ns, per_second, 1);
        actions.extend(std::iter::from_fn(send).map(Action::Send));
        if standby.unanswered.is_empty() {
            let answered_ns = *standby.answered_ns.get_or_insert(now_ns);
            if now_ns - answered_ns >= OVERLAP_NS {
                if goes_on {
                    // One that is silent may have lost what came before the second began.
                    if self.watch.frame_ns >= standby.opened_ns {
                        self.join(now_ns);
                    }
                } else {
                    actions.push(Action::TakeOver);
                }
            }
        } else if now_ns - standby.opened_ns >= ANSWER_NS {
            actions.push(Action::Reconnect("its subscriptions were not answered".into()));
        }
        actions
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
            asked_ns: standby.opened_ns,
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
}

impl Standby {
    pub(super) fn subscribe(&mut self, wanted: &[(Channel, String)]) {
        for request in self.dialect.subscribe(wanted) {
            let asked = request.covers.iter().map(|at| wanted[*at].clone());
            self.unanswered.extend(asked.map(|(channel, raw)| (request.id, channel, raw)));
            self.pacer.add(request.text);
        }
    }

    /// Read the last message for what it says of subscriptions; an answer need not be kept.
    fn read_answers(&mut self) {
        if self.unanswered.is_empty() {
            return;
        }
        let Some((_, text)) = self.kept.back() else { return };
        decode(text, &mut *self.dialect, &mut self.scratch, "connected");
        for notice in std::mem::take(&mut self.scratch.notices) {
            match notice {
                Notice::Answer { id, .. } => self.unanswered.retain(|asked| asked.0 != id),
                Notice::Channel { channel, raw_symbol, .. } => self.unanswered.retain(|asked| {
                    asked.2 != raw_symbol || channel.is_some_and(|channel| channel != asked.1)
                }),
                _ => {}
            }
        }
        self.scratch.discard();
    }
}
