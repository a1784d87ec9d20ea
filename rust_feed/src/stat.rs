//! What one symbol's channel did in the second that passes: the measures of a `stat` row.

use crate::quality::Verdict;

/// Latencies kept per second; beyond them the percentiles are of the first so many.
const LATENCIES: usize = 8192;

#[derive(Clone, Debug, Default)]
pub struct Meter {
    pub rows: u64,
    pub bytes: u64,
    pub gaps: u64,
    pub duplicates: u64,
    pub late: u64,
    /// When the last row came, ns since 1970; None before the first.
    pub last_recv_ns: Option<i64>,
    latencies_ms: Vec<f64>,
    latency_max_ms: f64,
}

/// Percentiles of the second's latencies in ms, NaN if there were none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

impl Meter {
    /// Count a message's rows.
    pub fn count(&mut self, ts_recv: i64, latency_ns: Option<i64>, verdict: Verdict, rows: usize) {
        self.rows += rows as u64;
        self.last_recv_ns = Some(ts_recv);
        match verdict {
            Verdict::Good | Verdict::Restart { .. } => {}
            Verdict::Gap { .. } => self.gaps += 1,
            Verdict::Duplicate => self.duplicates += 1,
            Verdict::Late => self.late += 1,
        }
        if let Some(ns) = latency_ns {
            let ms = ns as f64 / 1e6;
            self.latency_max_ms =
                if self.latencies_ms.is_empty() { ms } else { self.latency_max_ms.max(ms) };
            if self.latencies_ms.len() < LATENCIES {
                self.latencies_ms.push(ms);
            }
        }
    }

    pub fn latency(&mut self) -> Latency {
        let count = self.latencies_ms.len();
        if count == 0 {
            return Latency { p50_ms: f64::NAN, p99_ms: f64::NAN, max_ms: f64::NAN };
        }
        self.latencies_ms.sort_unstable_by(f64::total_cmp);
        let rank = |share: f64| self.latencies_ms[((count - 1) as f64 * share).round() as usize];
        Latency { p50_ms: rank(0.5), p99_ms: rank(0.99), max_ms: self.latency_max_ms }
    }

    /// Begin the next second; what is known of the past stays.
    pub fn restart(&mut self) {
        self.latencies_ms.clear();
        let (last_recv_ns, latencies_ms) =
            (self.last_recv_ns, std::mem::take(&mut self.latencies_ms));
        *self = Meter { last_recv_ns, latencies_ms, ..Meter::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_second_alone() {
        let mut meter = Meter::default();
        (1..=101).for_each(|ms| meter.count(0, Some(ms * 1_000_000), Verdict::Good, 1));
        assert_eq!(meter.latency(), Latency { p50_ms: 51.0, p99_ms: 100.0, max_ms: 101.0 });
        meter.restart();
        meter.count(5, Some(-2_000_000), Verdict::Late, 1);
        assert_eq!(meter.latency(), Latency { p50_ms: -2.0, p99_ms: -2.0, max_ms: -2.0 });
        assert_eq!((meter.rows, meter.late, meter.last_recv_ns), (1, 1, Some(5)));
    }
}
