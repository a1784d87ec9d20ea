//! Kraken's v1 messages as JSON, borrowed from the frame.

use serde::Deserialize;
use serde::de::IgnoredAny;

#[derive(Deserialize)]
pub(super) struct Event<'a> {
    pub(super) event: &'a str,
    pub(super) pair: Option<&'a str>,
    pub(super) status: Option<&'a str>,
    pub(super) reqid: Option<u64>,
    #[serde(rename = "errorMessage")]
    pub(super) error_message: Option<String>,
    pub(super) subscription: Option<Subscription<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Subscription<'a> {
    pub(super) name: Option<&'a str>,
}

#[derive(Deserialize)]
pub(super) struct WireBook<'a> {
    #[serde(borrow, rename = "bs")]
    pub(super) all_bids: Option<Vec<WireLevel<'a>>>,
    #[serde(borrow, rename = "as")]
    pub(super) all_asks: Option<Vec<WireLevel<'a>>>,
    #[serde(borrow, rename = "b")]
    pub(super) bids: Option<Vec<WireLevel<'a>>>,
    #[serde(borrow, rename = "a")]
    pub(super) asks: Option<Vec<WireLevel<'a>>>,
    #[serde(rename = "c")]
    pub(super) checksum: Option<&'a str>,
}

/// A level; a fourth item `r` says that it was published before.
#[derive(Deserialize)]
#[serde(from = "WireLevelItems")]
pub(super) struct WireLevel<'a> {
    pub(super) price: &'a str,
    pub(super) size: &'a str,
    pub(super) time: &'a str,
}

#[derive(Deserialize)]
struct WireLevelItems<'a>(&'a str, &'a str, &'a str, #[serde(default)] IgnoredAny);

impl<'a> From<WireLevelItems<'a>> for WireLevel<'a> {
    fn from(WireLevelItems(price, size, time, _): WireLevelItems<'a>) -> Self {
        WireLevel { price, size, time }
    }
}

/// Best bid and ask, seconds since 1970, their sizes.
#[derive(Deserialize)]
pub(super) struct WireSpread<'a>(
    pub(super) &'a str,
    pub(super) &'a str,
    pub(super) &'a str,
    pub(super) &'a str,
    pub(super) &'a str,
);

/// Price, volume, seconds since 1970, b or s, market or limit, miscellaneous.
#[derive(Deserialize)]
pub(super) struct WireTrade<'a>(
    pub(super) &'a str,
    pub(super) &'a str,
    pub(super) &'a str,
    pub(super) &'a str,
    pub(super) IgnoredAny,
    pub(super) IgnoredAny,
);
