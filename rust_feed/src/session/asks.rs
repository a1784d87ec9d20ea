//! What a session asks of its venue, held back as far as the venue's limits want it.

use super::{Action, Session};
use crate::subscription::{Ask, Fetch};

impl Session {
    /// Hand over the rows, and what may be asked of the venue now.
    pub(super) fn finish(&mut self) -> Vec<Action> {
        let mut asks = std::mem::take(&mut self.market.asks);
        // What cannot be asked for yet is not asked for twice.
        if self.watch.subscribed && !self.watch.leaving && self.fetches.is_empty() {
            let by_rest = self.market.profile.book_ranges;
            let most = if by_rest { self.market.profile.fetches_per_second } else { usize::MAX };
            let due = self.market.due_snapshots(most);
            if !due.is_empty() {
                asks.extend(self.dialect.resync(&due));
            }
        }
        for ask in asks {
            match ask {
                Ask::Send(text) => self.pacer.add(text),
                Ask::Fetch(fetch) => self.fetches.add(fetch),
            }
        }
        self.ask_for_missing();
        self.market.flush();
        let mut actions = Vec::new();
        if let Some(parts) = self.parts.take() {
            actions.push(Action::Parts(parts));
        }
        let (now_ns, profile) = (self.market.now_ns, self.market.profile);
        let send = || self.pacer.next(now_ns, profile.sends_per_second, 1);
        actions.extend(std::iter::from_fn(send).map(Action::Send));
        let seconds = self.sharing as i64;
        let fetch = || self.fetches.next(now_ns, profile.fetches_per_second, seconds);
        actions.extend(std::iter::from_fn(fetch).map(Action::Fetch));
        for action in &actions {
            match action {
                Action::Send(text) | Action::Fetch(Fetch { body: Some(text), .. }) => {
                    self.market.keep_request("sent", text);
                }
                _ => {}
            }
        }
        self.market.flush();
        actions
    }
}
