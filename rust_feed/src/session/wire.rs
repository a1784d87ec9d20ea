//! What a session makes of the wire itself: binary messages, its failures, the peer's closing.

use super::{Action, decode, doubt_books, tell_undecodable};
use crate::frame::WireError;
use crate::market::Market;
use crate::venue::Dialect;

/// Take a binary message as text, which is what venues put there; other bytes do no harm.
pub(super) fn binary(payload: &[u8], dialect: &mut dyn Dialect, market: &mut Market) {
    if let Ok(text) = std::str::from_utf8(payload) {
        decode(text, dialect, market, "connected");
    } else {
        let text = String::from_utf8_lossy(payload);
        market.begin(&text);
        tell_undecodable(market, "expected UTF-8 text, found other bytes", &text, "connected");
        doubt_books(market, &text);
    }
}

/// Leave a line whose bytes are not WebSocket, and say why.
pub(super) fn failed(error: &WireError, market: &mut Market) -> Action {
    if let WireError::Text { text, .. } = error {
        tell_undecodable(market, &error.to_string(), text, "connected");
    }
    Action::Close(Some(error.close_code()), error.to_string())
}

/// Answer the peer's closing frame with its own code (RFC 6455, 5.5.1).
pub(super) fn closed(code: Option<u16>, reason: &str) -> Action {
    let told = code.map_or_else(|| "no code".into(), |code| format!("code {code}"));
    Action::Close(code, format!("the venue closed the connection: {told} {reason}"))
}
