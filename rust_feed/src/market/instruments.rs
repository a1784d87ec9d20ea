//! Instruments as a market follows them: found by raw symbol, learned from the venue's list, announced.

use super::{Followed, Kept, Market};
use crate::quality::Growing;
use crate::row::{InstrumentRow, Origin};
use crate::tick::Instrument;

impl Market {
    /// Take a venue's instrument list; instruments already followed are announced anew.
    pub fn learn(&mut self, instruments: Vec<Instrument>) {
        // A list of nothing is none.
        if instruments.is_empty() {
            return;
        }
        let list = self.list.get_or_insert_default();
        for instrument in instruments {
            list.insert(instrument.raw_symbol.clone(), instrument);
        }
        for at in 0..self.followed.len() {
            let list = self.list.as_ref();
            let raw_symbol = &self.followed[at].instrument.raw_symbol;
            let Some(known) = list.and_then(|list| list.get(raw_symbol)).cloned() else {
                continue;
            };
            let before = &self.followed[at].instrument;
            if *before != known {
                let halted = before.trading_status != known.trading_status
                    && known.trading_status.as_deref().is_some_and(is_halted);
                self.followed[at].symbol = self.buffer.intern(&known.canonical());
                self.followed[at].instrument = known;
                self.announce(at);
                if halted {
                    self.end_quotes_of(at, &Origin::ALL);
                }
            }
        }
    }

    /// Find the followed instrument of a raw symbol, beginning to follow it if it is new.
    pub fn follow(&mut self, raw_symbol: &str) -> usize {
        if let Some(followed) = self.followed.get(self.latest)
            && followed.instrument.raw_symbol == raw_symbol
        {
            return self.latest;
        }
        self.latest = match self.by_raw.get(raw_symbol) {
            Some(at) => *at,
            None => self.follow_new(raw_symbol),
        };
        self.latest
    }

    /// The followed instrument of a raw symbol, if there is one.
    pub fn followed_as(&self, raw_symbol: &str) -> Option<usize> {
        self.by_raw.get(raw_symbol).copied()
    }

    /// The name by which a raw symbol is followed, or would be.
    pub fn name_of(&self, raw_symbol: &str) -> String {
        name(&self.instrument_of(raw_symbol).0)
    }

    /// The instrument of a raw symbol, and whether it is assumed: the list does not have it.
    fn instrument_of(&self, raw_symbol: &str) -> (Instrument, bool) {
        let known = self.list.as_ref().and_then(|list| list.get(raw_symbol)).cloned();
        let assumed = known.is_none();
        let instrument = known.unwrap_or_else(|| {
            let (base, quote_asset) = (self.profile.split)(raw_symbol)
                .unwrap_or_else(|| (raw_symbol.into(), String::new()));
            // Finnhub's `BINANCE:BTCUSDT` names the venue that it comes from.
            let source = raw_symbol.split_once(':').map(|(source, _)| source.into());
            let raw_symbol = raw_symbol.into();
            Instrument { raw_symbol, base, quote_asset, source, ..Instrument::default() }
        });
        (instrument, assumed)
    }

    fn follow_new(&mut self, raw_symbol: &str) -> usize {
        let (instrument, assumed) = self.instrument_of(raw_symbol);
        let canonical = name(&instrument);
        let left = self.handover.take(self.profile.name, raw_symbol).unwrap_or_default();
        let at = self.followed.len();
        self.by_raw.insert(raw_symbol.into(), at);
        self.followed.push(Followed {
            symbol: self.buffer.intern(&canonical),
            instrument,
            meters: Default::default(),
            quote_seq: Growing::default(),
            trades: left.trades,
            told: Default::default(),
            quoted: Default::default(),
            authority: None,
            book_quotes: self.profile.book_quotes,
            answered_ns: None,
            crossed: false,
            book: Kept::default(),
        });
        self.resume_fills(left.waiting);
        self.announce(at);
        if assumed {
            let detail = format!("no instrument list: {raw_symbol} is taken for {canonical}");
            let kind = "symbol_assumed";
            self.status("symbol", Some(at), "initialising", kind, Some(detail), [None; 3]);
        }
        at
    }

    /// Write all that a reader who begins here must know: instruments, origins, whole books.
    pub fn announce_all(&mut self) {
        for at in 0..self.followed.len() {
            self.announce(at);
            self.tell_origin(at);
        }
        self.write_keyframes();
    }

    /// Write the instrument row of a followed instrument.
    pub fn announce(&mut self, at: usize) {
        let header = self.header(Some(at), None, None, 0);
        let known = &self.followed[at].instrument;
        self.rows.instruments.push_back(InstrumentRow {
            header,
            raw_symbol: known.raw_symbol.as_str().into(),
            base: known.base.as_str().into(),
            quote_asset: known.quote_asset.as_str().into(),
            tick_size: known.tick_size,
            lot_size: known.lot_size,
            price_precision: known.price_precision,
            size_precision: known.size_precision,
            seq_scope: self.profile.seq_scope,
            trading_status: known.trading_status.as_deref().map(Into::into),
            source: known.source.as_deref().map(Into::into),
        });
    }
}

/// Whether a venue's word for a trading status means that its quotes do not stand.
fn is_halted(status: &str) -> bool {
    let halts = ["halt", "break", "end_of_day", "maintenance", "offline", "delisted"];
    halts.iter().any(|halt| status.eq_ignore_ascii_case(halt))
}

/// The name that an instrument is followed by: its raw symbol where no quote asset is known.
fn name(instrument: &Instrument) -> String {
    match &*instrument.quote_asset {
        "" => instrument.raw_symbol.clone(),
        _ => instrument.canonical(),
    }
}
