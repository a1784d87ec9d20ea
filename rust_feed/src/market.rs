//! Where a dialect writes what it read: symbols are resolved, quality is judged, rows are made.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::buffer::Buffer;
use crate::quality::{Contiguous, Growing, Recent, Verdict};
use crate::row::{
    self, FrameRow, Header, InstrumentRow, Name, Origin, Quote, Rows, Trade, TradeId,
};
use crate::stat::Meter;
use crate::subscription::{CHANNELS, Channel};
use crate::tick::{Instrument, Notice, QuoteTick, TradeTick};
use crate::venue::Profile;

mod report;

/// One instrument as it is followed: its name and what its numbers have shown so far.
#[derive(Debug)]
pub struct Followed {
    pub instrument: Instrument,
    pub symbol: Name,
    pub meters: [Meter; CHANNELS],
    quote_seq: Growing,
    trade_ids: [Contiguous; CHANNELS],
    recent_trades: Recent,
    has_quote: bool,
    crossed: bool,
}

pub struct Market {
    pub profile: &'static Profile,
    pub conn: u32,
    pub now_ns: i64,
    /// Set on every row, for input whose receive time is not to be trusted.
    pub common_flags: u32,
    pub keep_frames: bool,
    pub notices: Vec<Notice>,
    pub followed: Vec<Followed>,
    pub list: Option<FxHashMap<String, Instrument>>,
    /// Valid frames of channels that make no rows.
    pub ignored_frames: u64,
    buffer: Arc<Buffer>,
    venue: Name,
    rows: Rows,
    message: u64,
    frame_bytes: u64,
    by_raw: FxHashMap<Box<str>, usize>,
    latest: usize,
    gap_ahead: bool,
}

impl Market {
    pub fn new(profile: &'static Profile, buffer: Arc<Buffer>) -> Self {
        let venue = buffer.intern(profile.name);
        Market {
            profile,
            conn: 0,
            now_ns: 0,
            common_flags: 0,
            keep_frames: false,
            notices: Vec::new(),
            followed: Vec::new(),
            list: None,
            ignored_frames: 0,
            buffer,
            venue,
            rows: Rows::default(),
            message: 0,
            frame_bytes: 0,
            by_raw: FxHashMap::default(),
            latest: 0,
            gap_ahead: false,
        }
    }

    /// Begin a message of the wire: the rows until the next one belong together.
    pub fn begin(&mut self, frame: &str) {
        self.message += 1;
        self.frame_bytes = frame.len() as u64;
        if self.keep_frames {
            let header = self.header(None, None, None, 0);
            self.rows.frames.push_back(FrameRow { header, raw: frame.into() });
        }
    }

    /// Hand all rows made so far to the buffer.
    pub fn flush(&mut self) {
        self.buffer.push(&mut self.rows, self.message + 1);
        self.message = 0;
    }

    pub fn quote(&mut self, raw_symbol: &str, tick: QuoteTick) {
        let at = self.follow(raw_symbol);
        let verdict = match tick.seq {
            Some(seq) if self.profile.quote_seq_grows => self.followed[at].quote_seq.judge(seq),
            _ => Verdict::Good,
        };
        let flags = tick.flags | self.judge(at, Channel::Quote, verdict, tick.seq);
        let header = self.header(Some(at), tick.ts_event, tick.ts_sent, flags);
        self.meter(at, Channel::Quote, &header, verdict);
        let QuoteTick { bid, bid_size, ask, ask_size, seq, .. } = tick;
        let origin = Origin::Native;
        self.rows.quotes.push_back(Quote { header, bid, bid_size, ask, ask_size, seq, origin });
        let followed = &mut self.followed[at];
        followed.has_quote = true;
        let crossed = bid > ask;
        if crossed != followed.crossed {
            followed.crossed = crossed;
            if crossed {
                let detail = format!("bid {bid} above ask {ask}");
                self.report(at, Channel::Quote, "crossed", Some(detail), [None; 3]);
            }
        }
    }

    pub fn trade(&mut self, raw_symbol: &str, tick: TradeTick) {
        let at = self.follow(raw_symbol);
        let followed = &mut self.followed[at];
        let id = match &tick.trade_id {
            Some(TradeId::Number(id)) => Some(*id),
            _ => None,
        };
        let snapshot = tick.flags & row::SNAPSHOT != 0;
        let verdict = match id {
            Some(id) if !self.profile.trade_ids_count_up => followed.recent_trades.judge(id),
            Some(id) if !snapshot => followed.trade_ids[tick.channel as usize].judge(id),
            _ => Verdict::Good,
        };
        // A snapshot repeats what was seen before a reconnect; that is no news.
        let flags = match verdict {
            Verdict::Duplicate if snapshot => tick.flags | row::DUPLICATE,
            _ => tick.flags | self.judge(at, tick.channel, verdict, id),
        };
        let header = self.header(Some(at), tick.ts_event, tick.ts_sent, flags);
        self.meter(at, tick.channel, &header, verdict);
        let TradeTick { price, size, side, trade_id, seq, .. } = tick;
        self.rows.trades.push_back(Trade { header, price, size, side, trade_id, seq });
    }

    /// Tell the verdict on a number that counts for the whole connection, before dispatch.
    pub fn connection_sequence(&mut self, verdict: Verdict, got: u64) {
        match verdict {
            Verdict::Good => {}
            Verdict::Gap { expected } => {
                self.gap_ahead = true;
                self.status(
                    "connection",
                    None,
                    "connected",
                    "gap",
                    None,
                    [Some(expected), Some(got), Some(got - expected)],
                );
            }
            Verdict::Duplicate => {
                self.status(
                    "connection",
                    None,
                    "connected",
                    "duplicate",
                    None,
                    [None, Some(got), Some(1)],
                );
            }
            Verdict::Late => {
                self.status(
                    "connection",
                    None,
                    "connected",
                    "late",
                    None,
                    [None, Some(got), Some(1)],
                );
            }
        }
    }

    /// Take a venue's instrument list; instruments already followed are announced anew.
    pub fn learn(&mut self, instruments: Vec<Instrument>) {
        let list = self.list.get_or_insert_default();
        for instrument in instruments {
            list.insert(instrument.raw_symbol.clone(), instrument);
        }
        for at in 0..self.followed.len() {
            let list = self.list.as_ref();
            let Some(known) =
                list.and_then(|list| list.get(&self.followed[at].instrument.raw_symbol))
            else {
                continue;
            };
            if self.followed[at].instrument != *known {
                self.followed[at].instrument = known.clone();
                self.followed[at].symbol = self.buffer.intern(&known.canonical());
                self.announce(at);
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

    fn follow_new(&mut self, raw_symbol: &str) -> usize {
        let known = self.list.as_ref().and_then(|list| list.get(raw_symbol)).cloned();
        let assumed = known.is_none();
        let instrument = known.unwrap_or_else(|| {
            let (base, quote_asset) = (self.profile.split)(raw_symbol)
                .unwrap_or_else(|| (raw_symbol.into(), String::new()));
            Instrument {
                raw_symbol: raw_symbol.into(),
                base,
                quote_asset,
                tick_size: f64::NAN,
                lot_size: f64::NAN,
                price_precision: f64::NAN,
                size_precision: f64::NAN,
                trading_status: None,
            }
        });
        let canonical = match &*instrument.quote_asset {
            "" => raw_symbol.to_owned(),
            _ => instrument.canonical(),
        };
        let at = self.followed.len();
        self.by_raw.insert(raw_symbol.into(), at);
        self.followed.push(Followed {
            symbol: self.buffer.intern(&canonical),
            instrument,
            meters: Default::default(),
            quote_seq: Growing::default(),
            trade_ids: Default::default(),
            recent_trades: Recent::default(),
            has_quote: false,
            crossed: false,
        });
        self.announce(at);
        if assumed {
            let detail = format!("no instrument list: {raw_symbol} is taken for {canonical}");
            self.status(
                "symbol",
                Some(at),
                "initialising",
                "symbol_assumed",
                Some(detail),
                [None; 3],
            );
        }
        at
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
        });
    }

    /// End every quote that is no longer true.
    pub fn end_quotes(&mut self) {
        self.message += 1;
        for at in 0..self.followed.len() {
            if std::mem::take(&mut self.followed[at].has_quote) {
                let header = self.header(Some(at), None, None, row::INVALID);
                let (nan, origin) = (f64::NAN, Origin::Native);
                let (bid, bid_size, ask, ask_size) = (nan, nan, nan, nan);
                self.rows.quotes.push_back(Quote {
                    header,
                    bid,
                    bid_size,
                    ask,
                    ask_size,
                    seq: None,
                    origin,
                });
            }
        }
    }

    /// Turn a verdict into flags, and into a status row if it is not good.
    fn judge(&mut self, at: usize, channel: Channel, verdict: Verdict, got: Option<u64>) -> u32 {
        let ahead = if std::mem::take(&mut self.gap_ahead) { row::GAP } else { 0 };
        match verdict {
            Verdict::Good => ahead,
            Verdict::Gap { expected } => {
                let count = got.map(|got| got - expected);
                self.report(at, channel, "gap", None, [Some(expected), got, count]);
                row::GAP | ahead
            }
            Verdict::Duplicate => {
                self.report(at, channel, "duplicate", None, [None, got, Some(1)]);
                row::DUPLICATE | ahead
            }
            Verdict::Late => {
                self.report(at, channel, "late", None, [None, got, Some(1)]);
                row::LATE | ahead
            }
        }
    }

    fn meter(&mut self, at: usize, channel: Channel, header: &Header, verdict: Verdict) {
        let meter = &mut self.followed[at].meters[channel as usize];
        meter.bytes += std::mem::take(&mut self.frame_bytes);
        let latency = match (header.flags & row::SNAPSHOT, header.ts_event.or(header.ts_sent)) {
            (0, Some(then)) => Some(header.ts_recv - then),
            _ => None,
        };
        meter.count(header.ts_recv, latency, verdict);
    }

    fn header(
        &mut self,
        at: Option<usize>,
        ts_event: Option<i64>,
        ts_sent: Option<i64>,
        flags: u32,
    ) -> Header {
        let ord = self.rows.next_ord;
        self.rows.next_ord += 1;
        Header {
            ord,
            ts_recv: self.now_ns,
            ts_event,
            ts_sent,
            venue: self.venue,
            symbol: at.map(|at| self.followed[at].symbol),
            conn: self.conn,
            flags: flags | self.common_flags,
            message: self.message,
        }
    }
}
