//! The ticker as witness of a book that has neither numbers nor checksums: a change that was lost shows
//! in the end by a best price that the ticker keeps denying.
//!
//! One ticker proves nothing: it comes with a trade, the book's changes in batches a moment later, and
//! what stood in between may never be shown. But a book that is right passes through the ticker's price
//! every now and then.

use super::Market;
use crate::subscription::Channel;

const SECOND_NS: i64 = 1_000_000_000;
/// So many tickers in a row, over so long, must name a best price that the book's side never had.
const DENIALS: u32 = 10;
const DENIED_NS: i64 = 10 * SECOND_NS;

/// What tickers said of one side's best price since the book last agreed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Denied {
    told: Option<f64>,
    count: u32,
    since_ns: i64,
}

impl Denied {
    /// A ticker named a best price; returns whether it is denied for good by now.
    fn tell(&mut self, price: f64, best: Option<f64>, now_ns: i64) -> bool {
        if price.is_nan() || best == Some(price) {
            *self = Denied::default();
            return false;
        }
        if self.told.is_none() {
            self.since_ns = now_ns;
        }
        self.told = Some(price);
        self.count += 1;
        self.count >= DENIALS && now_ns - self.since_ns >= DENIED_NS
    }

    /// Move the instant: the clock was set.
    pub(super) fn shift(&mut self, by_ns: i64) {
        self.since_ns += by_ns;
    }

    /// The book changed: it may have come to the price.
    fn see(&mut self, best: Option<f64>) {
        if self.told.is_some() && self.told == best {
            *self = Denied::default();
        }
    }
}

impl Market {
    /// Hold a ticker's best prices against the book, where nothing else could prove that wrong.
    pub(super) fn testify(&mut self, at: usize, bid: f64, ask: f64) {
        if self.profile.book_verifiable || !self.kept(at).health.stands() {
            return;
        }
        let (best, now_ns) = (self.best(at), self.now_ns);
        let denied = &mut self.kept(at).denied;
        let bids = denied[0].tell(bid, best[0], now_ns);
        let asks = denied[1].tell(ask, best[1], now_ns);
        if bids || asks {
            let [own_bid, own_ask] = best.map(|price| price.unwrap_or(f64::NAN));
            let detail = format!(
                "expected the ticker's best prices {bid} and {ask}, found {own_bid} and {own_ask} for {} s",
                DENIED_NS / SECOND_NS
            );
            self.report(at, Channel::Book, "mismatch", Some(detail), [None; 3]);
            self.spoil(at);
        }
    }

    /// The book changed, and is held to be right.
    pub(super) fn compare_with_told(&mut self, at: usize) {
        if self.profile.book_verifiable {
            return;
        }
        let best = self.best(at);
        for (side, denied) in self.kept(at).denied.iter_mut().enumerate() {
            denied.see(best[side]);
        }
    }

    fn best(&self, at: usize) -> [Option<f64>; 2] {
        let book = &self.followed[at].book.book;
        [&book.bids, &book.asks].map(|side| side.best().map(|level| level.price.value()))
    }
}
