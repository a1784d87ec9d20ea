//! How a joined symbol such as `BTCUSDT` is split where no instrument list can be had.

/// Quote assets of Binance, of all times. binance.com has no pairs in plain USD.
const QUOTES: &[&str] = &[
    "BFUSD", "FDUSD", "PYUSD", "RLUSD", "AEUR", "BIDR", "BKRW", "BUSD", "BVND", "DOGE", "EURI",
    "GYEN", "IDRT", "TUSD", "USD1", "USDC", "USDE", "USDG", "USDP", "USDQ", "USDS", "USDT", "XUSD",
    "ARS", "AUD", "BNB", "BRL", "BTC", "COP", "CZK", "DAI", "DOT", "ETH", "EUR", "GBP", "IDR",
    "JPY", "MXN", "NGN", "PAX", "PLN", "RON", "RUB", "SOL", "TRX", "TRY", "UAH", "USD", "VAI",
    "XRP", "ZAR", "U",
];
/// Quote assets of Binance US, which never had pairs in TUSD: BATUSD is BAT in USD.
const QUOTES_US: &[&str] = &["BUSD", "USDC", "USDT", "BNB", "BTC", "DAI", "ETH", "USD"];
/// Base assets, besides the quote assets, that tell two splits apart: ADAEUR is not AD in AEUR.
const BASES: &[&str] = &["ADA", "LUNA", "THETA"];

pub(super) fn split(raw: &str) -> Option<(String, String)> {
    split_by(raw, QUOTES)
}

pub(super) fn split_us(raw: &str) -> Option<(String, String)> {
    split_by(raw, QUOTES_US)
}

/// Split off one of `quotes`, which stand the longest first. Where several fit, a known base counts
/// first: BNBUSD is BNB in USD, not BN in BUSD.
fn split_by(raw: &str, quotes: &[&str]) -> Option<(String, String)> {
    let bases = quotes.iter().filter_map(|quote| {
        let base = raw.strip_suffix(quote)?;
        (!base.is_empty()).then_some((base, *quote))
    });
    let is_known = |(base, _): &(&str, &str)| BASES.contains(base) || quotes.contains(base);
    let (base, quote) = bases.clone().find(is_known).or_else(|| bases.clone().next())?;
    Some((base.into(), quote.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_whose_end_fits_two_quote_assets_are_split_as_their_lists_say() {
        // Base and quote as exchangeInfo of the two venues has them.
        for (split, pairs) in [
            (
                split as fn(&str) -> _,
                &["ADA-EUR", "BTC-AEUR", "BTC-BFUSD", "BNB-U", "BTC-USD1", "XRP-RLUSD", "BTC-TUSD"]
                    [..],
            ),
            (split_us, &["USDT-USD", "BNB-USD", "BTC-BUSD", "BAT-USD", "GRT-USD", "ONE-USD"]),
        ] {
            for pair in pairs {
                let (base, quote) = pair.split_once('-').expect("a pair");
                assert_eq!(split(&pair.replace('-', "")), Some((base.into(), quote.into())));
            }
        }
        assert_eq!(split("USDT"), None);
    }
}
