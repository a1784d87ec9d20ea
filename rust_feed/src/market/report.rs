//! The rows in which a market tells of itself: status and stat.

use super::Market;
use crate::row::{self, Header, Status};
use crate::subscription::Channel;

impl Market {
    /// Write a status row; `numbers` are expected, got and count.
    pub fn status(
        &mut self,
        scope: &'static str,
        at: Option<usize>,
        state: &'static str,
        kind: &str,
        detail: Option<String>,
        numbers: [Option<u64>; 3],
    ) {
        let header = self.header(at, None, None, 0);
        self.push_status(header, scope, None, state, kind, detail, numbers);
    }

    /// Write a status row of one channel of a followed instrument.
    pub fn report(
        &mut self,
        at: usize,
        channel: Channel,
        kind: &str,
        detail: Option<String>,
        numbers: [Option<u64>; 3],
    ) {
        let header = self.header(Some(at), None, None, 0);
        self.push_status(header, "channel", Some(channel), "connected", kind, detail, numbers);
    }

    /// Write a status row of a symbol that is not followed, such as one the venue does not have.
    pub fn status_of(
        &mut self,
        symbol: &str,
        state: &'static str,
        kind: &str,
        detail: impl Into<Option<String>>,
    ) {
        let symbol = self.buffer.intern(symbol);
        let header = Header { symbol: Some(symbol), ..self.header(None, None, None, 0) };
        self.push_status(header, "symbol", None, state, kind, detail.into(), [None; 3]);
    }

    pub fn push_stat(&mut self, at: usize, channel: Channel) {
        let header = self.header(Some(at), None, None, 0);
        let health = (channel == Channel::Book).then(|| self.followed[at].book.health.text());
        let meter = &mut self.followed[at].meters[channel as usize];
        let latency = meter.latency();
        self.rows.stats.push_back(row::Stat {
            header,
            channel: channel.text(),
            rows: meter.rows as f64,
            bytes: meter.bytes as f64,
            latency_p50_ms: latency.p50_ms,
            latency_p99_ms: latency.p99_ms,
            latency_max_ms: latency.max_ms,
            age_ms: meter
                .last_recv_ns
                .map_or(f64::NAN, |last| (header.ts_recv - last) as f64 / 1e6),
            gaps: meter.gaps as f64,
            duplicates: meter.duplicates as f64,
            late: meter.late as f64,
            book_health: health,
        });
        meter.restart();
    }

    fn push_status(
        &mut self,
        header: Header,
        scope: &'static str,
        channel: Option<Channel>,
        state: &'static str,
        kind: &str,
        detail: Option<String>,
        [expected, got, count]: [Option<u64>; 3],
    ) {
        self.rows.statuses.push_back(Status {
            header,
            scope,
            channel: channel.map(|channel| channel.text().into()),
            state,
            kind: kind.into(),
            detail: detail.map(Into::into),
            expected,
            got,
            count,
        });
    }
}
