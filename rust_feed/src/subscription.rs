//! What was asked of a venue and what came of it: one entry per channel and symbol.

use std::collections::VecDeque;

const SECOND_NS: i64 = 1_000_000_000;

pub const CHANNELS: usize = 4;

/// A channel of the contract; `AggTrade` is Binance's trades joined per taker order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    Quote,
    Trade,
    AggTrade,
    Book,
}

impl Channel {
    pub const ALL: [Channel; CHANNELS] =
        [Channel::Quote, Channel::Trade, Channel::AggTrade, Channel::Book];

    pub fn text(self) -> &'static str {
        match self {
            Channel::Quote => "quote",
            Channel::Trade => "trade",
            Channel::AggTrade => "aggTrade",
            Channel::Book => "book",
        }
    }

    pub fn parse(text: &str) -> Option<Channel> {
        Channel::ALL.into_iter().find(|channel| channel.text() == text)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    Asked,
    Accepted { since_ns: i64 },
    Refused(String),
}

#[derive(Clone, Debug)]
pub struct Subscription {
    pub channel: Channel,
    pub raw_symbol: String,
    /// Index of the followed instrument.
    pub at: usize,
    pub standing: Standing,
    /// The id of the request that asked for it.
    pub request: Option<u64>,
}

/// A text to send, and the id by which the venue will answer it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub id: u64,
    pub text: String,
    /// Indices of the wanted subscriptions that it asks for.
    pub covers: Vec<usize>,
}

/// What is to be asked of the venue: a text to send, or a REST request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    Send(String),
    Fetch(Fetch),
}

/// A REST request: the path behind the venue's REST address, and the body of a POST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    pub path: String,
    pub body: Option<String>,
}

impl Fetch {
    pub fn get(path: impl Into<String>) -> Self {
        Fetch { path: path.into(), body: None }
    }
}

/// Holds requests back so that no more than the venue allows are made in any time.
#[derive(Debug)]
pub struct Pacer<T> {
    waiting: VecDeque<T>,
    sent_ns: VecDeque<i64>,
}

impl<T> Default for Pacer<T> {
    fn default() -> Self {
        Pacer { waiting: VecDeque::new(), sent_ns: VecDeque::new() }
    }
}

impl<T> Pacer<T> {
    pub fn add(&mut self, request: T) {
        self.waiting.push_back(request);
    }

    /// Move all instants: the clock was set.
    pub fn shift(&mut self, by_ns: i64) {
        self.sent_ns.iter_mut().for_each(|at| *at += by_ns);
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn waiting(&self) -> impl Iterator<Item = &T> {
        self.waiting.iter()
    }

    /// Give up what waits; what was made still counts against the limit.
    pub fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Take the next request if one may be made now: of `most` in so many seconds.
    pub fn next(&mut self, now_ns: i64, most: usize, seconds: i64) -> Option<T> {
        while self.sent_ns.front().is_some_and(|sent| now_ns - sent >= seconds * SECOND_NS) {
            self.sent_ns.pop_front();
        }
        if self.sent_ns.len() >= most {
            return None;
        }
        let request = self.waiting.pop_front()?;
        self.sent_ns.push_back(now_ns);
        Some(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_sees_more_texts_than_the_venue_allows() {
        let mut pacer = Pacer::default();
        (0..10).for_each(|n| pacer.add(n.to_string()));
        let mut sent = Vec::new();
        for tenth in 0..40 {
            let now = i64::from(tenth) * SECOND_NS / 10;
            while pacer.next(now, 4, 1).is_some() {
                sent.push(now);
            }
        }
        assert_eq!(sent.len(), 10);
        for from in &sent {
            let within = sent.iter().filter(|at| (*from..from + SECOND_NS).contains(at)).count();
            assert!(within <= 4);
        }
    }
}
