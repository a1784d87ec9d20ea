//! What the answer to a poll says without a row of its own.

use super::Market;
use crate::row::Origin;

impl Market {
    /// An answer told nothing new of this symbol: it is alive all the same.
    pub fn unchanged(&mut self, raw_symbol: &str) {
        let at = self.follow(raw_symbol);
        self.followed[at].answered_ns = Some(self.now_ns);
    }

    /// What was quoted of this symbol is not true any more, and nothing takes its place.
    pub fn end_quote(&mut self, raw_symbol: &str) {
        let at = self.follow(raw_symbol);
        self.end_quotes_of(at, &Origin::ALL);
    }
}
