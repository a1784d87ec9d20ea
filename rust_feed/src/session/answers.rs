//! What a session makes of a venue's answers: subscriptions accepted or refused, requests failed.

use super::Session;
use crate::subscription::{Channel, Standing, Subscription};
use crate::tick::Notice;

impl Session {
    /// Write what went wrong with a REST request, unless that was the last thing written of it.
    pub(super) fn tell_failure(&mut self, url: &str, kind: &str, why: &str) {
        let detail = described(url, why);
        if self.failure.as_ref() != Some(&detail) {
            let state = if self.watch.open { "connected" } else { "failed" };
            self.market.status("connection", None, state, kind, Some(detail.clone()), [None; 3]);
            self.failure = Some(detail);
        }
    }

    /// Whether the stream that is open does what it is there for: it brought data, or the venue
    /// answered a subscription. One that only answers pings does not.
    pub fn is_answered(&self) -> bool {
        let answered = || self.subscriptions.iter().any(|sub| sub.standing != Standing::Asked);
        let brought = self.market.stream_ns > self.watch.opened_ns;
        let awaits_nothing = self.watch.subscribed && self.subscriptions.is_empty();
        // A venue that closes for the night does not acknowledge, and sends nothing then.
        brought || awaits_nothing || self.market.profile.closes || answered()
    }

    pub(super) fn answer_notices(&mut self) {
        for notice in std::mem::take(&mut self.market.notices) {
            match notice {
                Notice::Answer { id, refused } => {
                    self.settle(refused.as_deref(), |sub| sub.request == Some(id));
                }
                Notice::Channel { channel, raw_symbol, refused } => {
                    self.settle(refused.as_deref(), |sub| {
                        sub.raw_symbol == raw_symbol
                            && channel.is_none_or(|channel| channel == sub.channel)
                    });
                }
                Notice::Error(reason) => {
                    self.market.status(
                        "connection",
                        None,
                        "connected",
                        "refused",
                        Some(reason),
                        [None; 3],
                    );
                }
                Notice::System(condition) => {
                    let leaving = condition == "serverShutdown";
                    self.market.status(
                        "connection",
                        None,
                        "connected",
                        "system",
                        Some(condition),
                        [None; 3],
                    );
                    if leaving {
                        self.watch.ends = true;
                    }
                }
            }
        }
    }

    /// Mark the matching subscriptions that were still open as accepted or refused.
    fn settle(&mut self, refused: Option<&str>, matches: impl Fn(&Subscription) -> bool) {
        let now_ns = self.market.now_ns;
        for subscription in self.subscriptions.iter_mut().filter(|sub| matches(sub)) {
            if subscription.standing != Standing::Asked {
                continue;
            }
            let (at, channel) = (subscription.at, subscription.channel);
            if let Some(reason) = refused {
                subscription.standing = Standing::Refused(reason.into());
                self.market.report(at, channel, "refused", Some(reason.into()), [None; 3]);
            } else {
                subscription.standing = Standing::Accepted { since_ns: now_ns };
                self.market.report(at, channel, "subscribed", None, [None; 3]);
                match channel {
                    Channel::Book if self.market.profile.book_ranges => {
                        self.market.want_snapshot(at);
                    }
                    Channel::Book => self.market.await_snapshot(at),
                    _ => {}
                }
            }
        }
    }
}

/// What is said of a request that failed.
pub(super) fn described(url: &str, why: &str) -> String {
    match url.split('?').next() {
        Some(path) if path.starts_with('/') => format!("{path}: {why}"),
        // Of a captured address the path may hold a key.
        _ => why.to_owned(),
    }
}
