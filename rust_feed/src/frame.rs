//! The WebSocket wire (RFC 6455) as a client reads it: bytes in, messages out, in chunks of any size.

use std::ops::Range;

use thiserror::Error;

/// The largest message taken; Coinbase sends book snapshots of 5 MB.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;
/// Read bytes are moved to the front once this many lie consumed before them.
const COMPACT_BYTES: usize = 1 << 18;
/// So much memory is kept for what comes next when a large message is done.
const SPARE_BYTES: usize = 1 << 20;
/// So much of a text that is not UTF-8 is kept to be shown.
const KEPT_BYTES: usize = 2000;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

#[derive(Debug, Error, PartialEq, Eq)]
pub enum WireError {
    #[error("expected an unmasked frame from the server, found a masked one")]
    Masked,
    #[error("expected reserved bits 0, found {0:#04x}")]
    ReservedBits(u8),
    #[error("expected a known opcode, found {0:#x}")]
    Opcode(u8),
    #[error("expected a control frame of at most 125 bytes in one piece, found {0} bytes")]
    Control(u64),
    #[error("expected a message of at most {MAX_MESSAGE_BYTES} bytes, found {0}")]
    TooLarge(u64),
    #[error("expected {0}")]
    Fragment(&'static str),
    #[error("expected UTF-8 text, found other bytes from byte {at} on")]
    Text { at: usize, text: String },
    #[error("expected a closing code that may be sent, found {0}")]
    CloseCode(u16),
    #[error("expected a closing code of two bytes, found one byte")]
    CloseLength,
    #[error("expected a closing reason in UTF-8, found other bytes")]
    CloseReason,
}

impl WireError {
    /// The code to leave with (RFC 6455, 7.4.1).
    pub fn close_code(&self) -> u16 {
        match self {
            WireError::TooLarge(_) => 1009,
            WireError::Text { .. } | WireError::CloseReason => 1007,
            _ => 1002,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Message<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
    Ping(&'a [u8]),
    Pong,
    /// The closing code, if one was sent, and the reason.
    Close(Option<u16>, String),
}

/// Collects bytes and yields whole messages; fragments are joined.
#[derive(Debug, Default)]
pub struct FrameParser {
    bytes: Vec<u8>,
    consumed: usize,
    /// The opcode and the payload so far of a message that is not yet whole.
    partial: Option<(u8, Vec<u8>)>,
    joined: Vec<u8>,
    /// After a closing frame or an error what still comes is not looked at (RFC 6455, 1.4, 7.1.7).
    ended: bool,
}

/// A message's opcode, and its place in the bytes if it was not joined.
type Whole = (u8, Option<Range<usize>>);

struct Head {
    fin: bool,
    opcode: u8,
    payload: Range<usize>,
}

impl FrameParser {
    pub fn extend(&mut self, bytes: &[u8]) {
        if self.ended {
            return;
        }
        if self.consumed == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(SPARE_BYTES);
            self.consumed = 0;
        } else if self.consumed > COMPACT_BYTES {
            self.bytes.drain(..self.consumed);
            self.bytes.shrink_to(SPARE_BYTES);
            self.consumed = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Yield the next whole message, or None until more bytes come; an error or a closing frame is
    /// the last that is yielded.
    pub fn next_message(&mut self) -> Result<Option<Message<'_>>, WireError> {
        if self.ended {
            return Ok(None);
        }
        let (opcode, place) = match self.whole() {
            Ok(Some(whole)) => whole,
            Ok(None) => return Ok(None),
            Err(error) => {
                self.ended = true;
                return Err(error);
            }
        };
        let payload = place.map_or(&self.joined[..], |place| &self.bytes[place]);
        let read = message(opcode, payload);
        self.ended = matches!(read, Err(_) | Ok(Message::Close(..)));
        read.map(Some)
    }

    fn whole(&mut self) -> Result<Option<Whole>, WireError> {
        self.joined = Vec::new();
        loop {
            let Some(Head { fin, opcode, payload }) = self.head()? else { return Ok(None) };
            self.consumed = payload.end;
            match &mut self.partial {
                Some((_, joined)) if opcode == CONTINUATION => {
                    joined.extend_from_slice(&self.bytes[payload]);
                }
                _ if fin => return Ok(Some((opcode, Some(payload)))),
                _ => self.partial = Some((opcode, self.bytes[payload].to_vec())),
            }
            if fin && let Some((opcode, joined)) = self.partial.take() {
                self.joined = joined;
                return Ok(Some((opcode, None)));
            }
        }
    }

    /// Read the next frame's head; None until the whole frame is there. What the head alone shows
    /// to be wrong is refused before its payload comes, so that nothing is held for it.
    fn head(&self) -> Result<Option<Head>, WireError> {
        let bytes = &self.bytes[self.consumed..];
        let &[first, second, ..] = bytes else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(WireError::ReservedBits(first & 0x70));
        }
        if second & 0x80 != 0 {
            return Err(WireError::Masked);
        }
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
        let held = match (opcode, &self.partial) {
            (CONTINUATION, None) => {
                return Err(WireError::Fragment("a first fragment, found a continuation"));
            }
            (CONTINUATION, Some((_, joined))) => joined.len() as u64,
            (TEXT | BINARY, Some(_)) => {
                return Err(WireError::Fragment("a continuation, found a new message"));
            }
            (TEXT | BINARY | CLOSE | PING | PONG, _) => 0,
            _ => return Err(WireError::Opcode(opcode)),
        };
        let (length, start) = match second {
            126 => match bytes.get(2..4) {
                Some(&[a, b]) => (u64::from(u16::from_be_bytes([a, b])), 4),
                _ => return Ok(None),
            },
            127 => match bytes.get(2..10).and_then(|b| <[u8; 8]>::try_from(b).ok()) {
                Some(length) => (u64::from_be_bytes(length), 10),
                None => return Ok(None),
            },
            short => (u64::from(short), 2),
        };
        if opcode >= CLOSE && (length > 125 || !fin) {
            return Err(WireError::Control(length));
        }
        let total = length.saturating_add(held);
        if total > MAX_MESSAGE_BYTES as u64 {
            return Err(WireError::TooLarge(total));
        }
        let start = self.consumed + start;
        let payload = start..start + length as usize;
        Ok((payload.end <= self.bytes.len()).then_some(Head { fin, opcode, payload }))
    }
}

fn message(opcode: u8, payload: &[u8]) -> Result<Message<'_>, WireError> {
    match opcode {
        TEXT => std::str::from_utf8(payload).map(Message::Text).map_err(|error| {
            let kept = &payload[..payload.len().min(KEPT_BYTES)];
            let text = String::from_utf8_lossy(kept).into_owned();
            WireError::Text { at: error.valid_up_to(), text }
        }),
        BINARY => Ok(Message::Binary(payload)),
        PING => Ok(Message::Ping(payload)),
        PONG => Ok(Message::Pong),
        _ => close(payload),
    }
}

fn close(payload: &[u8]) -> Result<Message<'static>, WireError> {
    match payload {
        [] => Ok(Message::Close(None, String::new())),
        [_] => Err(WireError::CloseLength),
        [a, b, reason @ ..] => {
            let code = u16::from_be_bytes([*a, *b]);
            // Those of RFC 6455, 7.4, and 1012 to 1014 of its registry; 1005, 1006 and 1015 only
            // stand for what was not sent.
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(WireError::CloseCode(code));
            }
            let reason = std::str::from_utf8(reason).map_err(|_| WireError::CloseReason)?;
            Ok(Message::Close(Some(code), reason.into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All memory that the parser holds.
    fn held(parser: &FrameParser) -> usize {
        let partial = parser.partial.as_ref().map_or(0, |(_, joined)| joined.capacity());
        parser.bytes.capacity() + partial + parser.joined.capacity()
    }

    /// Read all there is; memory is freed as the last message is let go.
    fn exhaust(parser: &mut FrameParser) -> Option<WireError> {
        loop {
            match parser.next_message() {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => return Some(error),
            }
        }
    }

    #[test]
    fn a_frame_of_two_to_the_63rd_bytes_is_refused_at_its_head_and_nothing_is_held_for_it() {
        let mut parser = FrameParser::default();
        parser.extend(&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(parser.next_message(), Err(WireError::TooLarge(1 << 63)));
        parser.extend(&vec![0; 100_000]);
        assert!(held(&parser) < 100, "{} bytes", held(&parser));
    }

    #[test]
    fn fragments_are_refused_at_the_head_that_would_make_them_too_large_together() {
        let mut parser = FrameParser::default();
        parser.extend(&[0x02, 1, 0]);
        assert_eq!(parser.next_message(), Ok(None));
        parser.extend(&[0x80, 127]);
        parser.extend(&(MAX_MESSAGE_BYTES as u64).to_be_bytes());
        assert_eq!(parser.next_message(), Err(WireError::TooLarge(MAX_MESSAGE_BYTES as u64 + 1)));
    }

    #[test]
    fn the_memory_of_a_large_message_is_given_back() {
        for heads in [&[0x82][..], &[0x02, 0x80]] {
            let mut parser = FrameParser::default();
            for head in heads {
                parser.extend(&[*head, 127, 0, 0, 0, 0, 1, 0, 0, 0]);
                parser.extend(&vec![7; 1 << 24]);
                assert_eq!(exhaust(&mut parser), None);
            }
            assert!(held(&parser) > 1 << 24);
            parser.extend(&[0x82, 0]);
            assert_eq!(exhaust(&mut parser), None);
            assert!(held(&parser) <= SPARE_BYTES, "{} bytes", held(&parser));
        }
    }

    proptest! {
        #[test]
        fn no_announced_length_makes_the_parser_hold_more_than_came(
            first in any::<u8>(),
            length in any::<u64>(),
            payload in prop::collection::vec(any::<u8>(), 0..1000),
        ) {
            let mut parser = FrameParser::default();
            parser.extend(&[first, 127]);
            parser.extend(&length.to_be_bytes());
            parser.extend(&payload);
            let refused = exhaust(&mut parser).is_some();
            prop_assert!(refused || length <= MAX_MESSAGE_BYTES as u64);
            prop_assert!(held(&parser) <= 4 * (10 + payload.len()) + KEPT_BYTES);
        }

        #[test]
        fn no_bytes_make_the_parser_panic_or_hold_more_than_came(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20),
        ) {
            let (mut parser, mut came) = (FrameParser::default(), 0);
            for chunk in &chunks {
                came += chunk.len();
                parser.extend(chunk);
                exhaust(&mut parser);
                prop_assert!(held(&parser) <= 4 * came + 64);
            }
        }
    }
}
