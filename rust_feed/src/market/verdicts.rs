//! What a market makes of the verdicts on numbers: flags and status rows.

use super::Market;
use crate::quality::Verdict;
use crate::row;
use crate::subscription::Channel;

impl Market {
    /// Tell the verdict on a number that counts for the whole connection, before dispatch.
    pub fn connection_sequence(&mut self, verdict: Verdict, got: u64) {
        let (kind, expected, count) = match verdict {
            Verdict::Good => return,
            Verdict::Gap { expected } => ("gap", Some(expected), got - expected),
            Verdict::Duplicate => ("duplicate", None, 1),
            Verdict::Late => ("late", None, 1),
            Verdict::Restart { expected } => {
                let numbers = [Some(expected), Some(got), None];
                self.status("connection", None, "connected", "restart", None, numbers);
                self.doubt_trades();
                return self.spoil_all_books();
            }
        };
        let numbers = [expected, Some(got), Some(count)];
        self.status("connection", None, "connected", kind, None, numbers);
        if kind == "gap" {
            self.gap_ahead = true;
            self.doubt_trades();
            self.spoil_all_books();
        }
    }

    /// Turn a verdict into flags, and into a status row if it is not good.
    pub(super) fn judge(
        &mut self,
        at: usize,
        channel: Channel,
        verdict: Verdict,
        got: Option<u64>,
    ) -> u32 {
        let ahead = self.take_gap_ahead();
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
            Verdict::Restart { expected } => {
                self.report(at, channel, "restart", None, [Some(expected), got, None]);
                ahead
            }
        }
    }

    /// The flag of the first row behind a gap of the connection.
    pub(super) fn take_gap_ahead(&mut self) -> u32 {
        if std::mem::take(&mut self.gap_ahead) { row::GAP } else { 0 }
    }
}
