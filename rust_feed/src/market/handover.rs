//! What is known of an instrument's trades: kept when its session ends, for the session that follows it next.

use std::sync::{Mutex, PoisonError};

use rustc_hash::FxHashMap;

use super::Market;
use super::fills::Waiting;
use crate::quality::{Contiguous, Covered, Recent};
use crate::subscription::{CHANNELS, Channel};

/// What one instrument's trades have shown so far, by stream or REST.
#[derive(Debug, Default)]
pub(super) struct Trades {
    pub(super) ids: [Contiguous; CHANNELS],
    pub(super) recent: Recent,
    /// Of trades without an id, where the venue's REST trades have one.
    pub(super) covered: Covered,
    /// When the last trade happened, and its price.
    pub(super) last: Option<(i64, f64)>,
    /// When the newest trade happened.
    pub(super) newest_ns: i64,
    /// No trade of a channel has come on the connection that is open now.
    pub(super) reconnected: [bool; CHANNELS],
    /// The last price that a venue without trades by REST told of, and its time.
    pub(super) told: Option<(f64, Option<i64>)>,
    /// Messages of its connection were lost, or it is a new one: trade ids may jump by that.
    pub(super) may_lack: bool,
}

impl Trades {
    /// Whether a trade's number begins a new count: it is below what was seen, though the trade
    /// happened later, on a new connection or by very much. What is late or repeated is older.
    pub(super) fn is_restart(&self, channel: Channel, id: u64, ts_event: Option<i64>) -> bool {
        let ids = &self.ids[channel as usize];
        let is_newer = ts_event.is_some_and(|ns| ns > self.newest_ns);
        is_newer
            && ids.has_passed(id)
            && (self.reconnected[channel as usize] || ids.is_far_below(id))
    }

    /// Nobody wants the trades until the next session begins: those between are not missing.
    fn pause(&mut self) {
        self.ids.iter_mut().for_each(Contiguous::pause);
        self.may_lack = false;
    }
}

/// What ended sessions left, by venue and raw symbol. An entry goes to the one session that follows
/// the instrument next, so it holds at most one entry per instrument.
#[derive(Debug, Default)]
pub struct Handover(Mutex<FxHashMap<(&'static str, Box<str>), Left>>);

#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) trades: Trades,
    /// Gaps that wait to be filled.
    pub(super) waiting: Vec<Waiting>,
}

impl Handover {
    fn leave(&self, venue: &'static str, raw_symbol: &str, left: Left) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert((venue, raw_symbol.into()), left);
    }

    pub(super) fn take(&self, venue: &'static str, raw_symbol: &str) -> Option<Left> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&(venue, raw_symbol.into()))
    }
}

impl Market {
    /// Leave what is known of all trades to the sessions that come next. Instruments that do not go
    /// on at once are paused, and `why` tells what became of their gaps.
    pub fn hand_over(&mut self, goes_on: impl Fn(&str) -> bool, why: &str) {
        if std::mem::replace(&mut self.handed_over, true) {
            return;
        }
        self.give_up_fills(|raw_symbol| !goes_on(raw_symbol), why);
        let names = self.followed.iter().map(|followed| &*followed.instrument.raw_symbol);
        let going_on: Vec<&str> = names.filter(|raw_symbol| goes_on(raw_symbol)).collect();
        self.keep_request("left", &going_on.join(","));
        for at in 0..self.followed.len() {
            let mut trades = std::mem::take(&mut self.followed[at].trades);
            let raw_symbol = &self.followed[at].instrument.raw_symbol;
            if goes_on(raw_symbol) {
                trades.may_lack = true;
            } else {
                trades.pause();
            }
            let waiting = self.fills.take_of(raw_symbol);
            self.handover.leave(self.profile.name, raw_symbol, Left { trades, waiting });
        }
    }
}
