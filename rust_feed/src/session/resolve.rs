//! From sources as users write them to the venue's own symbols, and to what this connection asks for.

use rustc_hash::{FxHashMap, FxHashSet};

use super::end::REMOVED;
use super::{Session, Wanted};
use crate::subscription::{Channel, Standing, Subscription};
use crate::tick::Instrument;
use crate::venue::{Profile, base_and_quote};

impl Session {
    /// Ask for all wanted channels of the symbols that the venue has.
    pub(super) fn subscribe(&mut self) {
        self.watch.subscribed = true;
        let wanted = self.resolve();
        for request in self.dialect.subscribe(&wanted) {
            for at in &request.covers {
                self.subscriptions[*at].request = Some(request.id);
            }
            self.pacer.add(request.text);
        }
    }

    /// Find the raw symbols of the wanted sources; those that the venue does not have are refused.
    ///
    /// Of more than a connection may carry, this one takes its part.
    pub(super) fn resolve(&mut self) -> Vec<(Channel, String)> {
        let profile = self.market.profile;
        let connections = profile.key.as_ref().map_or(usize::MAX, |key| key.connections);
        self.subscriptions.clear();
        self.listing.is_wanted = false;
        let (mut part, mut streams) = (0, 0);
        let mut wanted = Vec::new();
        for (raw_symbol, channels, source) in self.chosen() {
            if streams + channels.len() > profile.streams_per_connection {
                (part, streams) = (part + 1, 0);
            }
            streams += channels.len();
            if part >= connections {
                self.refuse_beyond(&source, connections);
            } else if part == self.options.part {
                self.want(&raw_symbol, &channels, &mut wanted);
            }
        }
        self.sharing = (part + 1).min(connections);
        if self.options.part == 0 && part > 0 {
            self.parts = Some(self.sharing);
        }
        wanted
    }

    /// Each instrument of the sources once, with all of its channels and the first of its sources.
    fn chosen(&mut self) -> Vec<(String, Vec<Channel>, String)> {
        let mut chosen: Vec<(String, Vec<Channel>, String)> = Vec::new();
        let mut places = FxHashMap::default();
        for source in self.options.sources.clone() {
            let raw_symbols = self.raw_symbols(&source.symbol);
            self.listing.is_wanted |= raw_symbols.is_empty() && self.lacks_list();
            if self.options.part == 0 {
                if raw_symbols.is_empty() {
                    self.refuse(&source.symbol);
                } else {
                    self.found(&source.symbol, &raw_symbols);
                }
            }
            let channels = channels(self.market.profile, &source);
            for raw_symbol in self.without_overlap(&source, raw_symbols) {
                let place = *places.entry(raw_symbol.clone()).or_insert(chosen.len());
                if place == chosen.len() {
                    chosen.push((raw_symbol, Vec::new(), source.symbol.clone()));
                }
                let all = &mut chosen[place].1;
                let further: Vec<Channel> =
                    channels.iter().filter(|channel| !all.contains(channel)).copied().collect();
                all.extend(further);
            }
        }
        chosen
    }

    /// Leave out what another session follows: two would write each row twice.
    fn without_overlap(&mut self, source: &Wanted, mut raw_symbols: Vec<String>) -> Vec<String> {
        for other in &source.yields_to {
            let taken: FxHashSet<String> =
                self.spellings(other).into_iter().map(|raw| self.answered_as(raw)).collect();
            let (left_out, left): (Vec<_>, Vec<_>) =
                raw_symbols.into_iter().partition(|raw_symbol| taken.contains(raw_symbol));
            raw_symbols = left;
            let Some(first) = left_out.first() else { continue };
            let key = (source.symbol.clone(), other.clone());
            if self.options.part == 0 && self.overlaps_told.insert(key) {
                let further = match left_out.len() - 1 {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                let own = &source.symbol;
                let detail = format!(
                    "expected each instrument in one source, found {first}{further} in {other} and \
                     in {own}, which have different modes: left out of {own}"
                );
                let numbers = [None, None, Some(left_out.len() as u64)];
                self.market.status("feed", None, "connected", "overlap", Some(detail), numbers);
            }
        }
        raw_symbols
    }

    fn want(
        &mut self,
        raw_symbol: &str,
        channels: &[Channel],
        wanted: &mut Vec<(Channel, String)>,
    ) {
        let at = self.market.follow(raw_symbol);
        if self.shown.len() <= at {
            self.show(at, "initialising", "initialising", None);
        }
        let has_quotes = channels.contains(&Channel::Quote);
        self.market.followed[at].book_quotes = self.market.profile.book_quotes || !has_quotes;
        for channel in channels {
            wanted.push((*channel, raw_symbol.to_owned()));
            self.subscriptions.push(Subscription {
                channel: *channel,
                raw_symbol: raw_symbol.to_owned(),
                at,
                standing: Standing::Asked,
                request: None,
            });
        }
    }

    /// Show the end of each symbol: of one that goes on elsewhere, that it is connected to anew.
    pub(super) fn show_end(
        &mut self,
        state: &'static str,
        kind: &str,
        why: &str,
        kept: Option<&[String]>,
    ) {
        let is_last = state == "stopped";
        for at in 0..self.market.followed.len() {
            let raw_symbol = &self.market.followed[at].instrument.raw_symbol;
            if kept.is_some_and(|kept| !kept.contains(raw_symbol)) {
                self.show(at, state, kind, Some(REMOVED.into()));
            } else if is_last && self.goes_on {
                self.show(at, "initialising", "initialising", None);
            } else {
                self.show(at, state, kind, Some(why.into()));
            }
        }
    }

    /// The raw symbols that are still followed after this session; None if all of its own are.
    ///
    /// A removed source that the venue did not have is stopped here: it has no raw symbol.
    pub(super) fn kept_raw_symbols(&mut self) -> Option<Vec<String>> {
        let kept = self.kept.clone()?;
        for source in self.options.sources.clone() {
            let is_unknown = self.spellings(&source.symbol).is_empty();
            if is_unknown && self.options.part == 0 && !kept.contains(&source.symbol) {
                let removed = REMOVED.to_owned();
                self.market.status_of(&source.symbol, "stopped", "stopped", removed);
            }
        }
        Some(kept.iter().flat_map(|symbol| self.raw_symbols(symbol)).collect())
    }

    fn refuse_beyond(&mut self, symbol: &str, connections: usize) {
        let most = self.market.profile.streams_per_connection;
        let detail = format!(
            "expected at most {most} subscriptions on each of {connections} connections per key, \
             found more"
        );
        self.market.status_of(symbol, "failed", "refused", detail);
    }

    /// The names under which the venue answers for a symbol.
    fn raw_symbols(&mut self, text: &str) -> Vec<String> {
        let mut raw_symbols = self.spellings(text);
        for raw_symbol in &mut raw_symbols {
            let alias = self.answered_as(raw_symbol.clone());
            if alias != *raw_symbol {
                if self.watch.open || self.polling.is_some() {
                    let detail = Some(format!("{raw_symbol} is answered as {alias}"));
                    self.market.status("feed", None, "connected", "alias", detail, [None; 3]);
                }
                *raw_symbol = alias;
            }
        }
        raw_symbols.dedup();
        raw_symbols
    }

    /// The name under which the venue answers for a raw symbol.
    fn answered_as(&self, raw_symbol: String) -> String {
        let known = self.market.list.as_ref().and_then(|list| list.get(&raw_symbol));
        known.and_then(|known| known.alias.clone()).unwrap_or(raw_symbol)
    }

    /// The venue's spellings of a symbol: one, or all that a pattern such as `*-USDT` fits or that
    /// are markets of the pair.
    fn spellings(&self, text: &str) -> Vec<String> {
        if text.contains('*') {
            let known = self.market.list.iter().flat_map(|list| list.values());
            let pattern = text.to_ascii_uppercase();
            let mut fitting: Vec<String> = known
                .filter(|known| fits(&pattern, &known.canonical().to_ascii_uppercase()))
                .map(|known| known.raw_symbol.clone())
                .collect();
            fitting.sort_unstable();
            return fitting;
        }
        let profile = self.market.profile;
        let pair = base_and_quote(profile, text);
        let Some(list) = &self.market.list else {
            // A colon names the source behind the venue: that is its own spelling already.
            let spelled = || pair.map(|(base, quote)| (profile.spell)(&base, &quote));
            return if text.contains(':') { vec![text.into()] } else { Vec::from_iter(spelled()) };
        };
        if let Some(known) = list.get(text) {
            return vec![known.raw_symbol.clone()];
        }
        let is_named = |known: &&Instrument| {
            known.raw_symbol.eq_ignore_ascii_case(text)
                || known.canonical().eq_ignore_ascii_case(text)
        };
        if let Some(known) = list.values().find(is_named) {
            return vec![known.raw_symbol.clone()];
        }
        let is_of_pair = |known: &&Instrument| {
            pair.as_ref()
                .is_some_and(|(base, quote)| known.base == *base && known.quote_asset == *quote)
        };
        let mut markets: Vec<String> =
            list.values().filter(is_of_pair).map(|known| known.raw_symbol.clone()).collect();
        markets.sort_unstable();
        markets
    }
}

fn channels(profile: &Profile, source: &Wanted) -> Vec<Channel> {
    let named: Vec<Channel> = source.channels.iter().filter_map(|c| Channel::parse(c)).collect();
    if named.is_empty() { profile.default_channels.to_vec() } else { named }
}

/// Whether `text` fits a pattern in which `*` stands for anything.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn patterns_fit_what_they_say() {
        assert!(fits("*-USDT", "BTC-USDT") && fits("BTC-*", "BTC-USD") && fits("*", "A-B"));
        assert!(fits("B*-U*", "BTC-USD") && fits("BTC-USD", "BTC-USD"));
        assert!(!fits("*-USD", "BTC-USDT") && !fits("ETH-*", "BTC-USD") && !fits("A", "AB"));
        assert!(!fits("A*A", "A"));
    }
}
