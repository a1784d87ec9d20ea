//! Steps of the clock: time that passed on the wall clock alone is no silence, no age and no delay.

use super::Session;
use crate::subscription::Standing;

impl Session {
    /// Move all instants that durations are reckoned from by how much the clock was set forward.
    pub(super) fn follow_steps(&mut self) {
        let stepped_ns = self.market.stepped_ns();
        let by_ns = stepped_ns - std::mem::replace(&mut self.stepped_ns, stepped_ns);
        if by_ns == 0 {
            return;
        }
        let watch = &mut self.watch;
        for at in [
            &mut watch.opened_ns,
            &mut watch.frame_ns,
            &mut watch.data_ns,
            &mut watch.ping_ns,
            &mut watch.asked_ns,
            &mut watch.stat_ns,
            &mut watch.offset_ns,
            &mut self.replace_ns,
            &mut self.repeats_told_ns,
        ] {
            *at += by_ns;
        }
        if let Some(polling) = &mut self.polling {
            polling.since_ns += by_ns;
            polling.next_ns += by_ns;
        }
        if let Some(standby) = &mut self.standby {
            standby.opened_ns += by_ns;
            standby.answered_ns = standby.answered_ns.map(|at| at + by_ns);
            standby.frame_ns += by_ns;
            standby.ping_ns += by_ns;
            standby.pacer.shift(by_ns);
        }
        for subscription in &mut self.subscriptions {
            if let Standing::Accepted { since_ns } = &mut subscription.standing {
                *since_ns += by_ns;
            }
        }
        self.pacer.shift(by_ns);
        self.fetches.shift(by_ns);
        self.listing.shift(by_ns);
        self.market.shift(by_ns);
    }
}
