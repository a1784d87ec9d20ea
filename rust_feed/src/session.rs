//! One connection's life without its I/O: bytes and times in; rows into the buffer, actions out.

use std::sync::Arc;

use rustc_hash::FxHashSet;

use crate::buffer::Buffer;
use crate::frame::{FrameParser, Message};
use crate::market::{Handover, Market};
use crate::subscription::{Fetch, Pacer, Subscription};
use crate::venue::{Dialect, InstrumentList, profile};

mod answers;
mod asks;
mod end;
mod fetched;
mod list;
mod options;
mod polling;
mod resolve;
mod standby;
mod stepped;
mod twice;
mod watch;
mod wire;

use list::Listing;
pub use options::{Options, Wanted};
use polling::Polling;
use standby::Standby;

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
    /// Make this REST request and hand the body to `fetched`.
    Fetch(Fetch),
    /// The sources want so many connections: this session holds the first.
    Parts(usize),
    Reconnect(String),
    /// Open a second connection beside this one, which is about to end, for this reason.
    Replace(String),
    /// Leave the first connection for the second.
    TakeOver,
    /// Send a closing frame with this code, if any, and connect anew, for this reason.
    Close(Option<u16>, String),
}

pub struct Session {
    market: Market,
    dialect: Box<dyn Dialect>,
    parser: FrameParser,
    options: Options,
    subscriptions: Vec<Subscription>,
    pacer: Pacer<String>,
    fetches: Pacer<Fetch>,
    polling: Option<Polling>,
    listing: Listing,
    standby: Option<Standby>,
    /// When a second connection was last asked for.
    replace_ns: i64,
    /// When repeats that were left out were last told of.
    repeats_told_ns: i64,
    /// Why the last REST request failed, so that the same failure is told once.
    failure: Option<String>,
    /// Pairs of overlapping sources that were told of.
    overlaps_told: FxHashSet<(String, String)>,
    /// How many connections the sources want, until the transport was told.
    parts: Option<usize>,
    /// How many connections share what the venue allows in requests.
    sharing: usize,
    watch: Watch,
    /// By how much the clock was set forward in all when time was last looked at.
    stepped_ns: i64,
    shown: Vec<Shown>,
    /// The symbols that are still followed after this session; None if all of its own are.
    kept: Option<Vec<String>>,
    /// Another session connects to what is still followed.
    goes_on: bool,
}

/// When what was last seen on the connection that is open now.
#[derive(Debug, Default)]
struct Watch {
    open: bool,
    opened_ns: i64,
    frame_ns: i64,
    data_ns: i64,
    ping_ns: i64,
    /// When data were last asked for.
    asked_ns: i64,
    stat_ns: i64,
    offset_ns: i64,
    subscribed: bool,
    no_data_told: bool,
    leaving: bool,
    /// The venue announced that it will end the connection.
    ends: bool,
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
        market.live = options.live;
        market.fills.wanted = options.live && options.gap_fill;
        market.compares = options.live && options.twice;
        let stepped_ns = market.stepped_ns();
        let dialect = open(&options, &mut market);
        Some(Session {
            market,
            dialect,
            parser: FrameParser::default(),
            options,
            subscriptions: Vec::new(),
            pacer: Pacer::default(),
            fetches: Pacer::default(),
            polling: None,
            listing: Listing::default(),
            standby: None,
            replace_ns: 0,
            repeats_told_ns: 0,
            failure: None,
            overlaps_told: FxHashSet::default(),
            parts: None,
            sharing: 1,
            watch: Watch::default(),
            stepped_ns,
            shown: Vec::new(),
            kept: None,
            goes_on: false,
        })
    }

    /// Go on from what sessions before left of their instruments' trades, and leave what is known at
    /// the end to those that come next.
    pub fn share(&mut self, handover: Arc<Handover>) {
        self.market.handover = handover;
    }

    /// Say what is needed before connecting: the venue's instrument list, if it comes by REST.
    pub fn prepare(&mut self) -> Vec<Action> {
        match self.market.profile.instruments {
            InstrumentList::Rest(path) if self.market.list.is_none() => {
                vec![Action::Fetch(Fetch::get(path))]
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
        self.dialect = open(&self.options, &mut self.market);
        self.parser = FrameParser::default();
        self.pacer = Pacer::default();
        self.take_back_fills();
        self.fetches = Pacer::default();
        self.listing.forget_requests(now_ns);
        self.market.doubt_trades();
        self.market.expect_restart();
        self.market.forget_books(false);
        self.forget_told(now_ns);
        self.subscriptions.clear();
        self.watch = Watch {
            open: true,
            opened_ns: now_ns,
            frame_ns: now_ns,
            data_ns: now_ns,
            ping_ns: now_ns,
            asked_ns: now_ns,
            stat_ns: now_ns,
            offset_ns: now_ns,
            ..Watch::default()
        };
        match self.market.profile.instruments {
            InstrumentList::InBand { ask, .. } => self.pacer.add(ask.into()),
            _ => self.subscribe(),
        }
        self.finish()
    }

    /// Bytes came from the socket; after the end on request they belong to another session.
    pub fn receive(&mut self, bytes: &[u8], now_ns: i64) -> Vec<Action> {
        if self.market.handed_over {
            return Vec::new();
        }
        self.follow_steps();
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
        self.answer_notices();
        actions.extend(self.finish());
        actions
    }

    /// A text that the client sent, from a file: it may say what the answers do not.
    pub fn sent(&mut self, text: &str) {
        self.dialect.sent(text);
    }

    /// The payloads of a connection begin in a file; it may have taken over from the one before.
    pub fn began(&mut self, conn: u32, now_ns: i64, took_over: bool) {
        if took_over {
            self.market.leave_out_repeats_until(now_ns + standby::REPEATS_NS);
        } else {
            self.market.write_withheld_depths(i64::MAX);
            self.market.end_quotes(false);
            self.market.expect_restart();
            self.market.forget_books(false);
        }
        self.begin(conn, now_ns);
        self.dialect = open(&self.options, &mut self.market);
        self.market.flush();
    }

    /// One payload from a file; `flags` are set on its rows.
    pub fn frame(&mut self, conn: u32, text: &str, now_ns: i64, flags: u32) {
        self.begin(conn, now_ns);
        self.market.common_flags = flags;
        decode(text, &mut *self.dialect, &mut self.market, "connected");
        self.market.notices.clear();
        self.market.flush();
    }

    /// Time passes: called at least every 100 ms while a connection is open.
    pub fn tick(&mut self, now_ns: i64) -> Vec<Action> {
        self.follow_steps();
        self.market.now_ns = now_ns;
        let mut actions = Vec::new();
        self.answer_notices();
        if self.watch.open && !self.watch.leaving {
            if !self.watch.subscribed
                && (self.market.list.is_some() || now_ns - self.watch.opened_ns >= LIST_NS)
            {
                self.subscribe();
            }
            self.follow_listed(&mut actions);
            self.watch_line(&mut actions);
            self.watch_life(&mut actions);
        }
        if !self.watch.open {
            self.follow_listed(&mut actions);
        }
        if self.polling.is_some() {
            self.poll();
        }
        // Symbols that are taken at their word need no list.
        let is_up = self.polling.is_some() || (self.watch.open && !self.watch.leaving);
        if is_up && self.listing.is_wanted {
            self.ask_for_list();
        }
        if (self.watch.open && !self.watch.leaving) || self.polling.is_some() {
            self.show_states();
            self.measure();
            self.market.write_due_keyframes();
        }
        actions.extend(self.finish());
        actions
    }

    /// Write instruments and whole books anew, as at the start of a segment.
    pub fn announce(&mut self, now_ns: i64) {
        self.market.now_ns = now_ns;
        self.market.announce_all();
        self.market.flush();
    }

    pub fn ignored_frames(&self) -> u64 {
        self.market.ignored_frames
    }

    fn begin(&mut self, conn: u32, now_ns: i64) {
        self.market.now_ns = now_ns;
        if std::mem::replace(&mut self.market.conn, conn) != conn {
            self.market.keep_request("opened", &self.options.name);
        }
    }
}

/// A dialect that has read nothing yet, told what the user says of the venue.
fn open(options: &Options, market: &mut Market) -> Box<dyn Dialect> {
    let mut dialect = (market.profile.open)();
    let known = dialect.set_up(&options.setup);
    if !known.is_empty() {
        market.learn(known);
    }
    dialect
}

fn decode(text: &str, dialect: &mut dyn Dialect, market: &mut Market, state: &'static str) {
    market.begin(text);
    if let Err(error) = dialect.decode(text, market) {
        tell_undecodable(market, &error.to_string(), text, state);
        if dialect.concerns_books(text) {
            doubt_books(market, text);
        }
    }
}

/// Hold the books for bad that a message may have changed which could not be read.
fn doubt_books(market: &mut Market, text: &str) {
    let plain = text.replace("\\/", "/");
    market.doubt_books(|raw_symbol| {
        let stream = format!("\"{}@", raw_symbol.to_lowercase());
        plain.contains(&format!("\"{raw_symbol}\"")) || plain.contains(&stream)
    });
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
