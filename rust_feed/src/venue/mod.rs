//! The venues: one file per dialect, and what every dialect offers.

mod binance;
mod coinbase;
mod coinbase_exchange;
mod finnhub;
mod kraken;
mod kraken_v1;
mod mock;
mod setup;
mod uniswap;

use thiserror::Error;

pub use setup::{Pool, Setup, Version};

use crate::book::Level;
use crate::fill::Missing;
use crate::fixed::Fixed;
use crate::market::Market;
use crate::subscription::{Ask, Channel, Fetch, Request};
use crate::tick::Instrument;

/// What is fixed about a venue.
#[derive(Debug)]
pub struct Profile {
    pub name: &'static str,
    /// None where the venue has no WebSocket: it is polled.
    pub ws_url: Option<&'static str>,
    /// Path and query that follow the host (and any prefix) of the WebSocket address.
    pub ws_path: &'static str,
    pub rest_url: &'static str,
    /// Headers of every REST request, by name.
    pub rest_headers: &'static [(&'static str, &'static str)],
    pub instruments: InstrumentList,
    pub channels: &'static [Channel],
    /// Channels subscribed to when a source names none.
    pub default_channels: &'static [Channel],
    /// Channels of symbols that one connection may carry.
    pub streams_per_connection: usize,
    /// Age at which a connection is replaced, where the venue ends it at a known one.
    pub life_s: Option<i64>,
    /// Texts a client may send per second, pings included.
    pub sends_per_second: usize,
    /// REST requests that may be made per second.
    pub fetches_per_second: usize,
    /// Time between two polls, unless the user says otherwise.
    pub poll_ms: u64,
    pub key: Option<Key>,
    /// The markets have closing hours: a line without data may be as good as any.
    pub closes: bool,
    /// Why two connections to one stream cannot be told apart, where they cannot.
    pub single: Option<&'static str>,
    /// The text of the venue's own ping; without one a WebSocket ping is sent.
    pub ping: Option<&'static str>,
    /// What `seq` counts.
    pub seq_scope: &'static str,
    pub quote_seq_grows: bool,
    /// Trade ids count up by one per symbol, so that a missing one is a lost trade.
    pub trade_ids_count_up: bool,
    /// Book changes carry the range of numbers that they cover.
    pub book_ranges: bool,
    /// Levels beyond the depth subscribed to are forgotten by the venue without a word.
    pub book_truncates: bool,
    /// The venue offers something by which a book can be proved wrong.
    pub book_verifiable: bool,
    /// Quotes from the book are better than those of the quote channel.
    pub book_quotes: bool,
    /// Split a raw symbol into base and quote where no list can be had.
    pub split: fn(&str) -> Option<(String, String)>,
    /// Spell base and quote as the venue does.
    pub spell: fn(&str, &str) -> String,
    pub open: fn() -> Box<dyn Dialect>,
}

/// A key that the venue wants, and how it is handed over.
#[derive(Debug)]
pub struct Key {
    /// The environment variable that holds it.
    pub variable: &'static str,
    /// The query parameter of the WebSocket address.
    pub query: &'static str,
    /// The header of REST requests.
    pub header: &'static str,
    /// Connections that one key may hold at a time.
    pub connections: usize,
}

#[derive(Debug)]
pub enum InstrumentList {
    /// A REST path.
    Rest(&'static str),
    /// A text that asks for the list on the WebSocket itself, and a REST path for want of that.
    InBand { ask: &'static str, path: &'static str },
    /// No list can be had: symbols are taken at their word.
    None,
}

#[derive(Debug, Error)]
pub enum DecodeError {
    #[error("expected a {venue} message, found {found}")]
    Json { venue: &'static str, found: String },
    #[error("expected a number in {field}, found {found:?}")]
    Number { field: &'static str, found: String },
    #[error("expected a time in {field}, found {found:?}")]
    Time { field: &'static str, found: String },
    #[error("the venue answered: {0}")]
    Refused(String),
}

/// One connection's reading of a venue's language: pure, without clock, socket or log.
pub trait Dialect: Send {
    /// Take what the user says of the venue; returns the instruments known without asking.
    fn set_up(&mut self, _setup: &Setup) -> Vec<Instrument> {
        Vec::new()
    }

    /// Write the requests that ask for `wanted`.
    fn subscribe(&mut self, wanted: &[(Channel, String)]) -> Vec<Request>;

    /// Tell what to ask for to have the whole books of these instruments (again).
    fn resync(&mut self, raw_symbols: &[String]) -> Vec<Ask>;

    /// Tell what to ask for by REST to have what the streams of `wanted` would bring.
    fn poll(&mut self, wanted: &[(Channel, String)]) -> Vec<Fetch>;

    /// Tell what to ask for by REST to have missing trades, all of them or the first or last ones;
    /// None where the venue offers nothing.
    fn fill(&self, _missing: &Missing) -> Option<Fetch> {
        None
    }

    /// Take note of a text that the client sent: it may say what the answers do not.
    fn sent(&mut self, _text: &str) {}

    /// Whether a message that could not be read may have been about a book.
    fn concerns_books(&self, _frame: &str) -> bool {
        true
    }

    /// Write what a WebSocket message says into `market`.
    ///
    /// After an error the rest of the message is written all the same, as far as it can be read.
    fn decode(&mut self, frame: &str, market: &mut Market) -> Result<(), DecodeError>;

    /// Write what a REST body says into `market`; `url` tells which resource it is.
    fn fetched(&mut self, url: &str, body: &str, market: &mut Market) -> Result<(), DecodeError>;
}

pub const PROFILES: [&Profile; 9] = [
    &binance::PROFILE,
    &binance::PROFILE_US,
    &kraken::PROFILE,
    &kraken_v1::PROFILE,
    &coinbase::PROFILE,
    &coinbase_exchange::PROFILE,
    &finnhub::PROFILE,
    &uniswap::PROFILE,
    &mock::PROFILE,
];

pub fn profile(name: &str) -> Option<&'static Profile> {
    PROFILES.into_iter().find(|profile| profile.name == name)
}

/// The canonical name of an asset.
fn asset(text: &str) -> String {
    match text {
        "XBT" => "BTC".into(),
        "XDG" => "DOGE".into(),
        other => other.into(),
    }
}

/// Split at the venue's own separator.
fn split_at(text: &str, separator: char) -> Option<(String, String)> {
    let (base, quote) = text.split_once(separator)?;
    (!base.is_empty() && !quote.is_empty()).then(|| (asset(base), asset(quote)))
}

/// Read a source's symbol, canonical or in the venue's spelling, as base and quote.
pub fn base_and_quote(profile: &Profile, text: &str) -> Option<(String, String)> {
    let upper = text.to_ascii_uppercase();
    split_at(&upper, '-').or_else(|| split_at(&upper, '/')).or_else(|| (profile.split)(&upper))
}

/// The steps of a decimal of so many places.
fn tick_of(precision: f64) -> f64 {
    10f64.powf(-precision)
}

/// How many decimal places the multiples of a step such as `0.05` or `1e-08` have; NaN for no step.
fn places(step: f64) -> f64 {
    let is_whole = |places: &u32| {
        let units = step * 10f64.powi(*places as i32);
        units >= 0.5 && (units - units.round()).abs() < 1e-6 * units
    };
    (0..=18).find(is_whole).map_or(f64::NAN, f64::from)
}

fn json_error(venue: &'static str, frame: &str, error: &serde_json::Error) -> DecodeError {
    let start: String = frame.chars().take(80).collect();
    DecodeError::Json { venue, found: format!("{start:?} ({error})") }
}

/// Read a book level from its texts.
fn level(price: &str, size: &str) -> Result<Level, DecodeError> {
    let fixed = |field, text: &str| {
        Fixed::parse(text)
            .ok_or_else(|| DecodeError::Number { field, found: text.chars().take(40).collect() })
    };
    Ok(Level { price: fixed("price", price)?, size: fixed("size", size)? })
}

/// Add a level to `levels`; one that cannot be read is left out, and the first error is kept.
fn take_level(price: &str, size: &str, levels: &mut Vec<Level>, unread: &mut Option<DecodeError>) {
    match level(price, size) {
        Ok(level) => levels.push(level),
        Err(error) => *unread = unread.take().or(Some(error)),
    }
}

/// The flag of a book message of which a level could not be read.
fn unread_flag(unread: Option<&DecodeError>) -> u32 {
    if unread.is_some() { crate::row::MAYBE_BAD_BOOK } else { 0 }
}

/// Take all entries of a message, whatever is wrong with some; returns the first error.
fn take_each<T>(
    entries: &[T],
    mut take: impl FnMut(&T) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut done = Ok(());
    for entry in entries {
        done = done.and(take(entry));
    }
    done
}

/// Whether a message names one of these kinds of its venue, as its compact JSON spells them.
fn names_kind(frame: &str, kinds: &[&str]) -> bool {
    kinds.iter().any(|kind| frame.contains(kind))
}

/// The value of a query parameter of `url`; parameters of market data need no decoding.
fn query<'a>(url: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = url.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn number(field: &'static str, text: &str, flags: &mut u32) -> Result<f64, DecodeError> {
    match crate::scan::decimal(text) {
        Some(decimal) => {
            if decimal.rounded {
                *flags |= crate::row::ROUNDED;
            }
            Ok(decimal.value)
        }
        None => Err(DecodeError::Number { field, found: text.chars().take(40).collect() }),
    }
}

/// Read a time; a field that is absent, or that carries no real date, is missing, not wrong.
fn time(field: &'static str, text: Option<&str>) -> Result<Option<i64>, DecodeError> {
    match text {
        None | Some("") => Ok(None),
        Some(text) if text.starts_with("0001-01-01") => Ok(None),
        Some(text) => match crate::scan::rfc3339_ns(text) {
            Some(ns) => Ok(Some(ns)),
            None => Err(DecodeError::Time { field, found: text.chars().take(40).collect() }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::places;

    #[test]
    fn multiples_of_a_step_have_as_many_places() {
        let steps = [(0.05, 2.0), (0.25, 2.0), (0.001, 3.0), (1e-8, 8.0), (1.0, 0.0), (10.0, 0.0)];
        for (step, expected) in steps {
            assert!((places(step) - expected).abs() < 0.1, "{step}");
        }
        assert!(places(f64::NAN).is_nan() && places(0.0).is_nan() && places(-1.0).is_nan());
    }
}
