//! Finnhub's messages as JSON, borrowed from the frame.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
pub(super) struct Head<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'a str,
    #[serde(borrow)]
    pub(super) data: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) msg: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
pub(super) struct WireTrade<'a> {
    /// Condition codes: absent in old messages, null where the source has none.
    #[serde(borrow)]
    pub(super) c: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow)]
    pub(super) p: &'a RawValue,
    pub(super) s: &'a str,
    /// Milliseconds since 1970.
    pub(super) t: u64,
    #[serde(borrow)]
    pub(super) v: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct WireQuote<'a> {
    /// The last price.
    #[serde(borrow)]
    pub(super) c: &'a RawValue,
    /// Seconds since 1970.
    pub(super) t: u64,
}
