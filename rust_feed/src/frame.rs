//! The WebSocket wire (RFC 6455) as a client reads it: bytes in, messages out, in chunks of any size.

use std::ops::Range;

use thiserror::Error;

/// The largest message taken; Coinbase sends book snapshots of 5 MB.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;
/// Read bytes are moved to the front once this many lie consumed before them.
const COMPACT_BYTES: usize = 1 << 18;

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
}

#[derive(Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A text or binary message; text is not yet known to be UTF-8.
    Data(&'a [u8]),
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
    /// Payload of the fragments seen so far of a message that is not yet whole.
    partial: Option<Vec<u8>>,
    joined: Vec<u8>,
}

struct Head {
    fin: bool,
    opcode: u8,
    payload: Range<usize>,
}

impl FrameParser {
    pub fn extend(&mut self, bytes: &[u8]) {
        if self.consumed == self.bytes.len() {
            self.bytes.clear();
            self.consumed = 0;
        } else if self.consumed > COMPACT_BYTES {
            self.bytes.drain(..self.consumed);
            self.consumed = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Yield the next whole message, or None until more bytes come.
    pub fn next_message(&mut self) -> Result<Option<Message<'_>>, WireError> {
        loop {
            let Some(head) = self.head()? else { return Ok(None) };
            self.consumed = head.payload.end;
            match head.opcode {
                0x0 => {
                    let Some(partial) = &mut self.partial else {
                        return Err(WireError::Fragment("a first fragment, found a continuation"));
                    };
                    let total = partial.len() + head.payload.len();
                    if total > MAX_MESSAGE_BYTES {
                        return Err(WireError::TooLarge(total as u64));
                    }
                    partial.extend_from_slice(&self.bytes[head.payload]);
                    if head.fin {
                        self.joined = self.partial.take().unwrap_or_default();
                        return Ok(Some(Message::Data(&self.joined)));
                    }
                }
                0x1 | 0x2 if self.partial.is_some() => {
                    return Err(WireError::Fragment("a continuation, found a new message"));
                }
                0x1 | 0x2 if head.fin => return Ok(Some(Message::Data(&self.bytes[head.payload]))),
                0x1 | 0x2 => self.partial = Some(self.bytes[head.payload].to_vec()),
                0x8 => return Ok(Some(close(&self.bytes[head.payload]))),
                0x9 => return Ok(Some(Message::Ping(&self.bytes[head.payload]))),
                _ => return Ok(Some(Message::Pong)),
            }
        }
    }

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
        if !matches!(opcode, 0..=2 | 8..=10) {
            return Err(WireError::Opcode(opcode));
        }
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
        if opcode >= 8 && (length > 125 || !fin) {
            return Err(WireError::Control(length));
        }
        if length > MAX_MESSAGE_BYTES as u64 {
            return Err(WireError::TooLarge(length));
        }
        let start = self.consumed + start;
        let payload = start..start + length as usize;
        Ok((payload.end <= self.bytes.len()).then_some(Head { fin, opcode, payload }))
    }
}

fn close(payload: &[u8]) -> Message<'static> {
    match payload {
        [a, b, reason @ ..] => {
            let reason = String::from_utf8_lossy(reason).into_owned();
            Message::Close(Some(u16::from_be_bytes([*a, *b])), reason)
        }
        _ => Message::Close(None, String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Frame `payload` as a server would (RFC 6455, 5.2).
    fn framed(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            n @ 0..126 => bytes.push(n as u8),
            n @ 126..65536 => {
                bytes.push(126);
                bytes.extend_from_slice(&(n as u16).to_be_bytes());
            }
            n => {
                bytes.push(127);
                bytes.extend_from_slice(&(n as u64).to_be_bytes());
            }
        }
        bytes.extend_from_slice(payload);
        bytes
    }

    fn messages(parser: &mut FrameParser, bytes: &[u8]) -> Vec<Vec<u8>> {
        parser.extend(bytes);
        let mut found = Vec::new();
        while let Ok(Some(message)) = parser.next_message() {
            if let Message::Data(data) = message {
                found.push(data.to_vec());
            }
        }
        found
    }

    #[test]
    fn the_examples_of_rfc_6455_are_read() {
        let mut parser = FrameParser::default();
        parser.extend(&[0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
        assert_eq!(parser.next_message(), Ok(Some(Message::Data(b"Hello"))));
        parser.extend(&[0x01, 0x03, 0x48, 0x65, 0x6c]);
        assert_eq!(parser.next_message(), Ok(None));
        parser.extend(&[0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x80, 0x02, 0x6c, 0x6f]);
        assert_eq!(parser.next_message(), Ok(Some(Message::Ping(b"Hello"))));
        assert_eq!(parser.next_message(), Ok(Some(Message::Data(b"Hello"))));
        parser.extend(&[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
        assert_eq!(parser.next_message(), Err(WireError::Masked));
    }

    #[test]
    fn a_close_frame_tells_its_code_and_reason() {
        let mut parser = FrameParser::default();
        parser.extend(&framed(0x88, b"\x03\xf0Too many requests"));
        let expected = Message::Close(Some(1008), "Too many requests".into());
        assert_eq!(parser.next_message(), Ok(Some(expected)));
    }

    #[test]
    fn a_length_beyond_the_bound_is_refused() {
        let mut parser = FrameParser::default();
        parser.extend(&[0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(parser.next_message(), Err(WireError::TooLarge(u64::MAX)));
    }

    proptest! {
        #[test]
        fn messages_do_not_depend_on_how_the_bytes_are_cut(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..70_000), 1..4),
            cuts in prop::collection::vec(1usize..5000, 1..40),
        ) {
            let wire: Vec<u8> = payloads.iter().flat_map(|p| framed(0x81, p)).collect();
            let (mut parser, mut found, mut at) = (FrameParser::default(), Vec::new(), 0);
            for cut in cuts.iter().cycle() {
                let end = wire.len().min(at + cut);
                found.extend(messages(&mut parser, &wire[at..end]));
                at = end;
                if at == wire.len() { break; }
            }
            prop_assert_eq!(found, payloads);
        }

        #[test]
        fn no_bytes_panic(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20)) {
            let mut parser = FrameParser::default();
            for chunk in &chunks {
                messages(&mut parser, chunk);
            }
        }
    }
}
