//! Binance's messages as JSON, borrowed from the frame.

use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct Wrapped<'a> {
    #[serde(borrow)]
    pub(super) stream: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) data: Option<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize)]
pub(super) struct Event<'a> {
    pub(super) e: Option<&'a str>,
    #[serde(borrow)]
    pub(super) u: Option<&'a serde_json::value::RawValue>,
    pub(super) s: Option<&'a str>,
    #[serde(borrow, rename = "lastUpdateId")]
    pub(super) last_update_id: Option<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize)]
pub(super) struct WireBookTicker<'a> {
    pub(super) u: u64,
    pub(super) s: &'a str,
    pub(super) b: &'a str,
    #[serde(rename = "B")]
    pub(super) bid_size: &'a str,
    pub(super) a: &'a str,
    #[serde(rename = "A")]
    pub(super) ask_size: &'a str,
}

#[derive(Deserialize)]
pub(super) struct WireTrade<'a> {
    #[serde(rename = "E")]
    pub(super) event: u64,
    pub(super) s: &'a str,
    pub(super) t: u64,
    pub(super) p: &'a str,
    pub(super) q: &'a str,
    #[serde(rename = "T")]
    pub(super) traded: u64,
    pub(super) m: bool,
}

#[derive(Deserialize)]
pub(super) struct WireAggTrade<'a> {
    #[serde(rename = "E")]
    pub(super) event: u64,
    pub(super) s: &'a str,
    pub(super) a: u64,
    pub(super) p: &'a str,
    pub(super) q: &'a str,
    #[serde(rename = "T")]
    pub(super) traded: u64,
    pub(super) m: bool,
}

#[derive(Deserialize)]
pub(super) struct Answer<'a> {
    /// Null means success, so that being there is what counts.
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) result: Option<&'a serde_json::value::RawValue>,
    #[serde(borrow)]
    pub(super) id: Option<&'a serde_json::value::RawValue>,
    pub(super) error: Option<WireError>,
    pub(super) code: Option<i64>,
    pub(super) msg: Option<String>,
}

fn present<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'de serde_json::value::RawValue>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
pub(super) struct WireError {
    pub(super) code: i64,
    pub(super) msg: String,
}

#[derive(Deserialize)]
pub(super) struct ExchangeInfo {
    pub(super) symbols: Vec<WireSymbol>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireSymbol {
    pub(super) symbol: String,
    pub(super) status: String,
    pub(super) base_asset: String,
    pub(super) quote_asset: String,
    pub(super) filters: Vec<WireFilter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireFilter {
    pub(super) filter_type: String,
    pub(super) tick_size: Option<String>,
    pub(super) step_size: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct WireDepthUpdate<'a> {
    #[serde(rename = "E")]
    pub(super) event: u64,
    pub(super) s: &'a str,
    #[serde(rename = "U")]
    pub(super) first: u64,
    pub(super) u: u64,
    #[serde(borrow)]
    pub(super) b: Vec<Pair<'a>>,
    #[serde(borrow)]
    pub(super) a: Vec<Pair<'a>>,
}

/// A whole book, by REST, or its best levels, by stream.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireDepth<'a> {
    pub(super) last_update_id: u64,
    #[serde(borrow)]
    pub(super) bids: Vec<Pair<'a>>,
    #[serde(borrow)]
    pub(super) asks: Vec<Pair<'a>>,
}

/// Price and size; years ago an empty list followed.
pub(super) struct Pair<'a>(pub(super) &'a str, pub(super) &'a str);

impl<'de: 'a, 'a> Deserialize<'de> for Pair<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> serde::de::Visitor<'de> for Texts {
            type Value = Pair<'de>;

            fn expecting(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                to.write_str("a price and a size")
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut items: A,
            ) -> Result<Self::Value, A::Error> {
                let missing = |at| serde::de::Error::invalid_length(at, &self);
                let price = items.next_element()?.ok_or_else(|| missing(0))?;
                let size = items.next_element()?.ok_or_else(|| missing(1))?;
                while items.next_element::<serde::de::IgnoredAny>()?.is_some() {}
                Ok(Pair(price, size))
            }
        }
        deserializer.deserialize_seq(Texts)
    }
}
