//! Steps of the clock, as far as a market reckons durations.

use super::Market;

impl Market {
    /// By how much the receive clock was set forward in all, in ns.
    pub fn stepped_ns(&self) -> i64 {
        self.buffer.stepped_ns()
    }

    /// Move all instants that durations are reckoned from.
    pub fn shift(&mut self, by_ns: i64) {
        self.stream_ns += by_ns;
        self.fills.shift(by_ns);
        self.repeats = self.repeats.map(|(until_ns, count)| (until_ns + by_ns, count));
        if self.depth_due_ns != i64::MAX {
            self.depth_due_ns += by_ns;
        }
        for followed in &mut self.followed {
            for meter in &mut followed.meters {
                meter.last_recv_ns = meter.last_recv_ns.map(|at| at + by_ns);
            }
            followed.answered_ns = followed.answered_ns.map(|at| at + by_ns);
            followed.book.shift(by_ns);
        }
    }
}
