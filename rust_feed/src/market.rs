//! Where a dialect writes what it read: symbols are resolved, quality is judged, rows are made.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::buffer::Buffer;
use crate::quality::{Growing, Verdict};
use crate::row::{self, FrameRow, Header, Name, Origin, Quote, Rows};
use crate::stat::Meter;
use crate::subscription::{Ask, CHANNELS, Channel};
use crate::tick::{Instrument, Notice, QuoteTick};
use crate::venue::Profile;

mod book_rows;
mod books;
mod fills;
mod handover;
mod instruments;
mod polled;
mod repeats;
mod report;
mod resync;
mod stepped;
mod trades;
mod verdicts;
mod witness;

pub use books::Health;
use books::Kept;
use fills::Fills;
pub use handover::Handover;
use handover::Trades;
use repeats::Told;

/// One instrument as it is followed: its name and what its numbers have shown so far.
#[derive(Debug)]
pub struct Followed {
    pub instrument: Instrument,
    pub symbol: Name,
    pub meters: [Meter; CHANNELS],
    quote_seq: Growing,
    trades: Trades,
    /// What came of its streams, where two connections bring the same.
    told: [Told; CHANNELS],
    /// Which origins have a quote that stands, and which of them counts.
    quoted: [bool; Origin::ALL.len()],
    authority: Option<Origin>,
    /// Whether quotes are wanted from its book: the venue's own are worse, or not subscribed to.
    pub book_quotes: bool,
    /// When a poll that told nothing new was last answered.
    pub answered_ns: Option<i64>,
    crossed: bool,
    book: Kept,
}

pub struct Market {
    pub profile: &'static Profile,
    pub conn: u32,
    pub now_ns: i64,
    /// Set on every row, for input whose receive time is not to be trusted.
    pub common_flags: u32,
    pub keep_frames: bool,
    /// Whether anything can be asked of the venue, such as a book's snapshot.
    pub live: bool,
    /// Whether two connections bring the same, and which of them brings what is read now.
    pub compares: bool,
    pub second: bool,
    /// Whether polls are taken: an answer that comes after the stream took over again is not.
    pub takes_polled: bool,
    pub notices: Vec<Notice>,
    /// What an answer leads to asking next.
    pub asks: Vec<Ask>,
    pub followed: Vec<Followed>,
    pub list: Option<FxHashMap<String, Instrument>>,
    /// Valid frames of channels that make no rows.
    pub ignored_frames: u64,
    pub fills: Fills,
    /// What sessions leave to those that follow the same instruments after them.
    pub handover: Arc<Handover>,
    /// The session ended, and what it knew belongs to another one.
    pub handed_over: bool,
    /// When the stream last brought data, ns since 1970.
    pub stream_ns: i64,
    /// The lowest latency since it was last asked for: the venue's clock is off by no less below 0.
    pub lowest_latency_ns: Option<i64>,
    buffer: Arc<Buffer>,
    venue: Name,
    rows: Rows,
    message: u64,
    frame_bytes: u64,
    by_raw: FxHashMap<Box<str>, usize>,
    latest: usize,
    gap_ahead: bool,
    /// Until when repeats are those of two connections' overlap, and how many were left out.
    repeats: Option<(i64, u64)>,
    /// Whether any book may want a snapshot.
    snapshots_wanted: bool,
    /// When the first withheld `depth` row is due.
    depth_due_ns: i64,
    /// Whether any book waits to be written whole.
    keyframes_due: bool,
    /// How often the buffer had overflowed when that was last looked at.
    overflows: u64,
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
            live: false,
            compares: false,
            second: false,
            takes_polled: true,
            notices: Vec::new(),
            asks: Vec::new(),
            followed: Vec::new(),
            list: None,
            ignored_frames: 0,
            fills: Fills::default(),
            handover: Arc::default(),
            handed_over: false,
            stream_ns: 0,
            lowest_latency_ns: None,
            buffer,
            venue,
            rows: Rows::default(),
            message: 0,
            frame_bytes: 0,
            by_raw: FxHashMap::default(),
            latest: 0,
            gap_ahead: false,
            repeats: None,
            snapshots_wanted: false,
            depth_due_ns: i64::MAX,
            keyframes_due: false,
            overflows: 0,
        }
    }

    /// Begin a message of the wire: the rows until the next one belong together.
    pub fn begin(&mut self, frame: &str) {
        self.message += 1;
        self.frame_bytes = frame.len() as u64;
        if self.now_ns >= self.depth_due_ns {
            self.write_withheld_depths(self.now_ns);
        }
        if self.keep_frames {
            let header = self.header(None, None, None, 0);
            self.rows.frames.push_back(FrameRow { header, raw: frame.into() });
        }
    }

    /// Where payloads are kept, keep also what tells how to read them: `opened` and `took_over` say
    /// whose connection it is, `fetched` what the next one answers, `sent` what was asked, `left`
    /// that the session ended, and with which raw symbols another one goes on.
    pub fn keep_request(&mut self, kind: &str, text: &str) {
        if self.keep_frames {
            self.status("feed", None, "connected", kind, Some(text.into()), [None; 3]);
        }
    }

    /// Hand all rows made so far to the buffer.
    pub fn flush(&mut self) {
        self.buffer.push(&mut self.rows, self.message + 1);
        self.message = 0;
    }

    /// Take a quote; a price of zero is how venues print an empty side.
    pub fn quote(&mut self, raw_symbol: &str, tick: QuoteTick) {
        if tick.origin == Origin::Rest && !self.takes_polled {
            return;
        }
        let at = self.follow(raw_symbol);
        let tick = without_empty_sides(tick);
        if tick.origin == Origin::Native && self.quote_was_told(at, &tick) {
            return;
        }
        if tick.bid.is_nan() && tick.ask.is_nan() {
            return self.end_quotes_of(at, &[tick.origin]);
        }
        let verdict = match tick.seq {
            Some(seq) if self.profile.quote_seq_grows && tick.origin == Origin::Native => {
                let followed = &mut self.followed[at];
                match followed.quote_seq.judge(seq) {
                    // What ended with its connection stands again by being said again.
                    Verdict::Duplicate if !followed.quoted[Origin::Native as usize] => {
                        Verdict::Good
                    }
                    verdict => verdict,
                }
            }
            _ => Verdict::Good,
        };
        if self.leaves_out(matches!(verdict, Verdict::Duplicate | Verdict::Late)) {
            return;
        }
        let flags = tick.flags | self.judge(at, Channel::Quote, verdict, tick.seq);
        self.push_quote(at, QuoteTick { flags, ..tick }, verdict);
        if tick.origin == Origin::Native && verdict == Verdict::Good {
            self.testify(at, tick.bid, tick.ask);
        }
        let (bid, ask) = (tick.bid, tick.ask);
        let followed = &mut self.followed[at];
        let crossed = bid > ask;
        if crossed != followed.crossed {
            followed.crossed = crossed;
            if crossed {
                let detail = format!("bid {bid} above ask {ask}");
                self.report(at, Channel::Quote, "crossed", Some(detail), [None; 3]);
            }
        }
    }

    /// Write a quote, and a status row where another origin counts from now on.
    fn push_quote(&mut self, at: usize, tick: QuoteTick, verdict: Verdict) {
        let followed = &mut self.followed[at];
        let before = followed.authority;
        let standing = before.is_some_and(|origin| followed.quoted[origin as usize]);
        followed.quoted[tick.origin as usize] = true;
        let better = before.is_none_or(|origin| self.rank(tick.origin) < self.rank(origin));
        if before != Some(tick.origin) && (better || !standing) {
            self.followed[at].authority = Some(tick.origin);
            // Readers of rows begin with `native`; after a restart they may think otherwise.
            if self.live || before.is_some() || tick.origin != Origin::Native {
                self.tell_origin(at);
            }
        }
        let header = self.header(Some(at), tick.ts_event, tick.ts_sent, tick.flags);
        self.meter(at, Channel::Quote, &header, verdict, 1);
        let QuoteTick { bid, bid_size, ask, ask_size, seq, origin, .. } = tick;
        self.rows.quotes.push_back(Quote { header, bid, bid_size, ask, ask_size, seq, origin });
    }

    /// Write which origin of quotes counts for an instrument.
    pub(super) fn tell_origin(&mut self, at: usize) {
        if let Some(origin) = self.followed[at].authority {
            let detail = Some(origin.text().to_owned());
            self.report(at, Channel::Quote, "origin", detail, [None; 3]);
        }
    }

    /// The best origin of quotes has rank 0.
    fn rank(&self, origin: Origin) -> usize {
        match origin {
            Origin::Book if self.profile.book_quotes => 0,
            Origin::Native => 1,
            Origin::Book => 2,
            Origin::Rest => 3,
            Origin::Synthetic => 4,
        }
    }

    /// End every quote that is no longer true; what REST brought may go on without the stream.
    pub fn end_quotes(&mut self, rest_goes_on: bool) {
        self.message += 1;
        for at in 0..self.followed.len() {
            let ended: &[Origin] = match (rest_goes_on, self.followed[at].book.streamed) {
                (false, _) => &Origin::ALL,
                (true, true) => &[Origin::Native, Origin::Book],
                (true, false) => &[Origin::Native],
            };
            self.end_quotes_of(at, ended);
        }
    }

    /// End the quotes that REST brought: the stream has its own again.
    pub fn end_rest_quotes(&mut self) {
        self.message += 1;
        for at in 0..self.followed.len() {
            self.end_quotes_of(at, &[Origin::Rest]);
        }
    }

    /// End what stands of these origins with a quote without prices.
    fn end_quotes_of(&mut self, at: usize, origins: &[Origin]) {
        for origin in origins {
            if std::mem::take(&mut self.followed[at].quoted[*origin as usize]) {
                let header = self.header(Some(at), None, None, row::INVALID);
                let tick = QuoteTick::default();
                let QuoteTick { bid, bid_size, ask, ask_size, seq, .. } = tick;
                let origin = *origin;
                self.rows.quotes.push_back(Quote {
                    header,
                    bid,
                    bid_size,
                    ask,
                    ask_size,
                    seq,
                    origin,
                });
            }
        }
    }

    /// Forget the rows made so far.
    pub fn discard(&mut self) {
        self.rows = Rows::default();
        self.message = 0;
    }

    fn meter(
        &mut self,
        at: usize,
        channel: Channel,
        header: &Header,
        verdict: Verdict,
        rows: usize,
    ) {
        let meter = &mut self.followed[at].meters[channel as usize];
        meter.bytes += std::mem::take(&mut self.frame_bytes);
        if header.flags & row::REST == 0 {
            self.stream_ns = header.ts_recv;
        }
        let asked_for = row::SNAPSHOT | row::BACKFILL | row::REST;
        let latency = match (header.flags & asked_for, header.ts_event.or(header.ts_sent)) {
            (0, Some(then)) => Some(header.ts_recv - then),
            _ => None,
        };
        meter.count(header.ts_recv, latency, verdict, rows);
        if let Some(ns) = latency {
            self.lowest_latency_ns = Some(self.lowest_latency_ns.map_or(ns, |low| low.min(ns)));
        }
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

fn without_empty_sides(mut tick: QuoteTick) -> QuoteTick {
    for (price, size) in [(&mut tick.bid, &mut tick.bid_size), (&mut tick.ask, &mut tick.ask_size)]
    {
        if *price == 0.0 {
            (*price, *size) = (f64::NAN, f64::NAN);
        }
    }
    tick
}
