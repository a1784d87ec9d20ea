//! A request for missing trades: what it is for goes with its address, and so comes back with the answer.
//!
//! The mark is a URL's fragment, which HTTP never sends. Where payloads are kept it is kept with
//! the address, so that they are read the same again.

use crate::subscription::Channel;

const MARK: &str = "#fill=";

/// Trades that a gap told of as missing, and what was done about them so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fill {
    pub channel: Channel,
    /// The first missing id, and the one behind the last.
    pub from: u64,
    pub to: u64,
    /// How many were found.
    pub found: u64,
    /// How many answers brought some.
    pub pages: usize,
    /// How often the venue was asked in vain.
    pub tries: usize,
    pub raw_symbol: String,
}

/// What is missing of a fill when it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    pub fill: Fill,
    pub first: u64,
    pub last: u64,
    /// The newest id seen of the channel.
    pub newest: u64,
    /// Times of trades before the first and behind the last one, ns since 1970.
    pub after_ns: Option<i64>,
    pub before_ns: Option<i64>,
}

impl Missing {
    /// How many ids the request must reach over.
    pub fn span(&self) -> u64 {
        self.last - self.first + 1
    }
}

impl Fill {
    /// Whether two are about the same gap.
    pub fn is_of_gap(&self, other: &Fill) -> bool {
        (self.channel, self.from, self.to) == (other.channel, other.from, other.to)
            && self.raw_symbol == other.raw_symbol
    }

    /// Add the mark of this fill to the address that asks for it.
    pub fn mark(&self, path: &str) -> String {
        let Fill { channel, from, to, found, pages, tries, raw_symbol } = self;
        let channel = channel.text();
        format!("{path}{MARK}{channel},{from},{to},{found},{pages},{tries},{raw_symbol}")
    }

    /// Part an address from its mark, if it has one.
    pub fn part(url: &str) -> (&str, Option<Fill>) {
        let Some((path, mark)) = url.split_once(MARK) else { return (url, None) };
        (path, Fill::read(mark))
    }

    fn read(mark: &str) -> Option<Fill> {
        let mut parts = mark.splitn(7, ',');
        let channel = Channel::parse(parts.next()?)?;
        let mut number = || parts.next()?.parse::<u64>().ok();
        let (from, to, found) = (number()?, number()?, number()?);
        let (pages, tries) = (usize::try_from(number()?).ok()?, usize::try_from(number()?).ok()?);
        let raw_symbol = parts.next().filter(|symbol| !symbol.is_empty())?.to_owned();
        (from < to).then_some(Fill { channel, from, to, found, pages, tries, raw_symbol })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_comes_back_as_it_was_and_leaves_the_address_whole() {
        let fill = Fill {
            channel: Channel::AggTrade,
            from: 7,
            to: 12,
            found: 3,
            pages: 1,
            tries: 2,
            raw_symbol: "BTC/USD".into(),
        };
        let url = fill.mark("/0/public/Trades?pair=BTC/USD");
        assert_eq!(Fill::part(&url), ("/0/public/Trades?pair=BTC/USD", Some(fill)));
        assert_eq!(Fill::part("/a?b=c"), ("/a?b=c", None));
        for bad in ["trade,1,2,0,0", "trade,9,2,0,0,0,X", "trade,1,2,0,0,0,", "book?,1", ""] {
            assert_eq!(Fill::part(&format!("/a{MARK}{bad}")), ("/a", None));
        }
    }
}
