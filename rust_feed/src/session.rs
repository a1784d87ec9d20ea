//! One connection's life without its I/O: bytes and times in; rows into the buffer, actions out.

use std::sync::Arc;

use crate::buffer::Buffer;
use crate::frame::{FrameParser, Message};
use crate::market::Market;
use crate::subscription::{Channel, Pacer, Standing, Subscription};
use crate::tick::Notice;
use crate::venue::{Dialect, InstrumentList, base_and_quote, profile};

mod options;
mod watch;
mod wire;

pub use options::{Options, Wanted};

const MS: i64 = 1_000_000;
const SECOND: i64 = 1000 * MS;
/// How long to wait for an instrument list that comes on the socket itself.
const LIST_NS: i64 = 5 * SECOND;
/// Characters kept of a frame that could not be read.
const KEPT_CHARS: usize = 2000;

/// What the transport is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Send(String),
    Ping,
    Pong(Vec<u8>),
    /// Get this REST path and hand the body to `fetched`.
    Fetch(String),
    Reconnect(String),
    /// Send a closing frame with this code, if any, and connect anew, for this reason.
    Close(Option<u16>, String),
}

pub struct Session {
    market: Market,
    dialect: Box<dyn Dialect>,
    parser: FrameParser,
    options: Options,
    subscriptions: Vec<Subscription>,
    pacer: Pacer,
    watch: Watch,
    shown: Vec<Shown>,
}

/// When what was last seen on the connection that is open now.
#[derive(Debug, Default)]
struct Watch {
    open: bool,
    opened_ns: i64,
    frame_ns: i64,
    data_ns: i64,
    ping_ns: i64,
    stat_ns: i64,
    subscribed: bool,
    no_data_told: bool,
    leaving: bool,
}

/// The state of a followed symbol as last written, so that only changes become rows.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    state: &'static str,
    detail: Option<String>,
}

impl Session {
    /// None if there is no such venue.
    pub fn new(buffer: Arc<Buffer>, venue: &str, options: Options) -> Option<Self> {
        let profile = profile(venue)?;
        let mut market = Market::new(profile, buffer);
        market.keep_frames = options.raw;
        Some(Session {
            market,
            dialect: (profile.open)(),
            parser: FrameParser::default(),
            options,
            subscriptions: Vec::new(),
            pacer: Pacer::default(),
            watch: Watch::default(),
            shown: Vec::new(),
        })
    }

    /// Say what is needed before connecting: the venue's instrument list, if it comes by REST.
    pub fn prepare(&mut self) -> Vec<Action> {
        match self.market.profile.instruments {
            InstrumentList::Rest(path) if self.market.list.is_none() => {
                vec![Action::Fetch(path.into())]
            }
            _ => Vec::new(),
        }
    }

    /// A connection numbered `conn` was opened.
    pub fn opened(&mut self, conn: u32, now_ns: i64, address: &str) -> Vec<Action> {
        self.begin(conn, now_ns);
        self.market.status(
            "connection",
            None,
            "initialising",
            "connected",
            Some(address.into()),
            [None; 3],
        );
        self.dialect = (self.market.profile.open)();
        self.parser = FrameParser::default();
        self.pacer = Pacer::default();
        self.subscriptions.clear();
        self.watch = Watch {
            open: true,
            opened_ns: now_ns,
            frame_ns: now_ns,
            data_ns: now_ns,
            ping_ns: now_ns,
            stat_ns: now_ns,
            ..Watch::default()
        };
        match self.market.profile.instruments {
            InstrumentList::InBand(text) if self.market.list.is_none() => {
                self.pacer.add(text.into());
            }
            _ => self.subscribe(),
        }
        self.finish()
    }

    /// The connection ended, or could not be had; `stopped` if it was on request.
    pub fn closed(&mut self, conn: u32, now_ns: i64, why: &str, stopped: bool) {
        self.begin(conn, now_ns);
        self.watch.open = false;
        let (state, kind) =
            if stopped { ("stopped", "stopped") } else { ("failed", "disconnected") };
        self.market.end_quotes();
        self.market.status("connection", None, state, kind, Some(why.into()), [None; 3]);
        self.resolve();
        for at in 0..self.market.followed.len() {
            self.show(at, state, kind, Some(why.into()));
        }
        self.market.flush();
    }

    /// Bytes came from the socket.
    pub fn receive(&mut self, bytes: &[u8], now_ns: i64) -> Vec<Action> {
        self.market.now_ns = now_ns;
        self.watch.frame_ns = now_ns;
        self.parser.extend(bytes);
        let mut actions = Vec::new();
        loop {
            let message = match self.parser.next_message() {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(error) => {
                    actions.push(wire::failed(&error, &mut self.market));
                    break;
                }
            };
            match message {
                Message::Text(text) => {
                    decode(text, &mut *self.dialect, &mut self.market, "connected");
                }
                Message::Binary(bytes) => wire::binary(bytes, &mut *self.dialect, &mut self.market),
                Message::Ping(payload) => actions.push(Action::Pong(payload.to_vec())),
                Message::Pong => {}
                Message::Close(code, reason) => {
                    actions.push(wire::closed(code, &reason));
                    break;
                }
            }
        }
        self.answer_notices(&mut actions);
        actions.extend(self.finish());
        actions
    }

    /// One payload from a file; `flags` are set on its rows.
    pub fn frame(&mut self, conn: u32, text: &str, now_ns: i64, flags: u32) {
        self.begin(conn, now_ns);
        self.market.common_flags = flags;
        decode(text, &mut *self.dialect, &mut self.market, "connected");
        self.market.notices.clear();
        self.market.flush();
    }

    /// A REST body came.
    pub fn fetched(&mut self, conn: u32, url: &str, body: &str, now_ns: i64, flags: u32) {
        self.begin(conn, now_ns);
        self.market.common_flags = flags;
        self.market.begin(body);
        if let Err(error) = self.dialect.fetched(url, body, &mut self.market) {
            tell_undecodable(&mut self.market, &error.to_string(), body, "connected");
        }
        self.market.flush();
    }

    /// A REST body could not be had.
    pub fn fetch_failed(&mut self, conn: u32, url: &str, why: &str, now_ns: i64) {
        self.begin(conn, now_ns);
        let detail = format!("{url}: {why}");
        self.market.status("feed", None, "initialising", "fetch_failed", Some(detail), [None; 3]);
        self.market.flush();
    }

    /// Time passes: called at least every 100 ms while a connection is open.
    pub fn tick(&mut self, now_ns: i64) -> Vec<Action> {
        self.market.now_ns = now_ns;
        let mut actions = Vec::new();
        if self.watch.open && !self.watch.leaving {
            if !self.watch.subscribed
                && (self.market.list.is_some() || now_ns - self.watch.opened_ns >= LIST_NS)
            {
                self.subscribe();
            }
            self.watch_line(&mut actions);
            self.show_states();
            self.measure();
        }
        actions.extend(self.finish());
        actions
    }

    /// Write the instrument rows anew, as at the start of a segment.
    pub fn announce(&mut self, now_ns: i64) {
        self.market.now_ns = now_ns;
        (0..self.market.followed.len()).for_each(|at| self.market.announce(at));
        self.market.flush();
    }

    pub fn ignored_frames(&self) -> u64 {
        self.market.ignored_frames
    }

    fn begin(&mut self, conn: u32, now_ns: i64) {
        self.market.conn = conn;
        self.market.now_ns = now_ns;
    }

    /// Ask for all wanted channels of the symbols that the venue has.
    fn subscribe(&mut self) {
        self.watch.subscribed = true;
        let wanted = self.resolve();
        for request in self.dialect.subscribe(&wanted) {
            for at in &request.covers {
                self.subscriptions[*at].request = Some(request.id);
            }
            self.pacer.add(request.text);
        }
    }

    /// Find the raw symbols of the wanted sources; those that the venue does not have are refused.
    fn resolve(&mut self) -> Vec<(Channel, String)> {
        let profile = self.market.profile;
        self.subscriptions.clear();
        let mut wanted = Vec::new();
        for source in self.options.sources.clone() {
            let Some(raw_symbol) = self.raw_symbol(&source.symbol) else {
                let count = self.market.list.as_ref().map_or(0, std::collections::HashMap::len);
                let detail = format!(
                    "expected a symbol of {}'s list of {count} instruments, found {:?}",
                    profile.name, source.symbol
                );
                self.market.status_of(&source.symbol, "failed", "refused", detail);
                continue;
            };
            let at = self.market.follow(&raw_symbol);
            if self.shown.len() <= at {
                self.show(at, "initialising", "initialising", None);
            }
            let named: Vec<Channel> =
                source.channels.iter().filter_map(|c| Channel::parse(c)).collect();
            let channels = if named.is_empty() { profile.default_channels.to_vec() } else { named };
            for channel in channels {
                wanted.push((channel, raw_symbol.clone()));
                let raw_symbol = raw_symbol.clone();
                let standing = Standing::Asked;
                self.subscriptions.push(Subscription {
                    channel,
                    raw_symbol,
                    at,
                    standing,
                    request: None,
                });
            }
        }
        wanted
    }

    fn raw_symbol(&self, text: &str) -> Option<String> {
        let profile = self.market.profile;
        let pair = base_and_quote(profile, text);
        let Some(list) = &self.market.list else {
            return pair.map(|(base, quote)| (profile.spell)(&base, &quote));
        };
        if let Some(known) = list.get(text) {
            return Some(known.raw_symbol.clone());
        }
        let is_meant = |known: &&crate::tick::Instrument| {
            known.raw_symbol.eq_ignore_ascii_case(text)
                || pair
                    .as_ref()
                    .is_some_and(|(base, quote)| known.base == *base && known.quote_asset == *quote)
        };
        list.values().find(is_meant).map(|known| known.raw_symbol.clone())
    }

    fn answer_notices(&mut self, actions: &mut Vec<Action>) {
        for notice in std::mem::take(&mut self.market.notices) {
            match notice {
                Notice::Answer { id, refused } => {
                    self.settle(refused.as_deref(), |sub| sub.request == Some(id));
                }
                Notice::Channel { channel, raw_symbol, refused } => {
                    self.settle(refused.as_deref(), |sub| {
                        sub.raw_symbol == raw_symbol
                            && channel.is_none_or(|channel| channel == sub.channel)
                    });
                }
                Notice::Error(reason) => {
                    self.market.status(
                        "connection",
                        None,
                        "connected",
                        "refused",
                        Some(reason),
                        [None; 3],
                    );
                }
                Notice::System(condition) => {
                    let leaving = condition == "serverShutdown";
                    self.market.status(
                        "connection",
                        None,
                        "connected",
                        "system",
                        Some(condition),
                        [None; 3],
                    );
                    if leaving {
                        self.watch.leaving = true;
                        actions.push(Action::Reconnect("the venue announced its shutdown".into()));
                    }
                }
            }
        }
    }

    /// Mark the matching subscriptions that were still open as accepted or refused.
    fn settle(&mut self, refused: Option<&str>, matches: impl Fn(&Subscription) -> bool) {
        let now_ns = self.market.now_ns;
        for subscription in self.subscriptions.iter_mut().filter(|sub| matches(sub)) {
            if subscription.standing != Standing::Asked {
                continue;
            }
            let (at, channel) = (subscription.at, subscription.channel);
            if let Some(reason) = refused {
                subscription.standing = Standing::Refused(reason.into());
                self.market.report(at, channel, "refused", Some(reason.into()), [None; 3]);
            } else {
                subscription.standing = Standing::Accepted { since_ns: now_ns };
                self.market.report(at, channel, "subscribed", None, [None; 3]);
            }
        }
    }

    /// Hand over the rows, and the texts that may be sent now.
    fn finish(&mut self) -> Vec<Action> {
        self.market.flush();
        let (now_ns, per_second) = (self.market.now_ns, self.market.profile.sends_per_second);
        std::iter::from_fn(|| self.pacer.next(now_ns, per_second)).map(Action::Send).collect()
    }
}

fn decode(text: &str, dialect: &mut dyn Dialect, market: &mut Market, state: &'static str) {
    market.begin(text);
    if let Err(error) = dialect.decode(text, market) {
        tell_undecodable(market, &error.to_string(), text, state);
    }
}

fn tell_undecodable(market: &mut Market, why: &str, text: &str, state: &'static str) {
    let kept: String = text.chars().take(KEPT_CHARS).collect();
    market.status(
        "connection",
        None,
        state,
        "undecodable",
        Some(format!("{why}: {kept}")),
        [None; 3],
    );
}
