//! The frame parser against RFC 6455: its examples, its closing codes, and frames cut anywhere.

use proptest::prelude::*;
use rust_feed::frame::{FrameParser, MAX_MESSAGE_BYTES, Message, WireError};

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

/// A message as it can be kept and compared.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>, String),
    Failed(u16),
}

/// Take what can be had now.
fn seen(parser: &mut FrameParser, bytes: &[u8]) -> Vec<Seen> {
    parser.extend(bytes);
    let mut found = Vec::new();
    loop {
        found.push(match parser.next_message() {
            Ok(None) => return found,
            Ok(Some(Message::Text(text))) => Seen::Text(text.into()),
            Ok(Some(Message::Binary(payload))) => Seen::Binary(payload.into()),
            Ok(Some(Message::Ping(payload))) => Seen::Ping(payload.into()),
            Ok(Some(Message::Pong)) => Seen::Pong,
            Ok(Some(Message::Close(code, reason))) => Seen::Close(code, reason),
            Err(error) => Seen::Failed(error.close_code()),
        });
    }
}

fn seen_at_once(bytes: &[u8]) -> Vec<Seen> {
    seen(&mut FrameParser::default(), bytes)
}

#[test]
fn the_examples_of_rfc_6455_are_read() {
    let mut parser = FrameParser::default();
    parser.extend(&[0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    assert_eq!(parser.next_message(), Ok(Some(Message::Text("Hello"))));
    parser.extend(&[0x01, 0x03, 0x48, 0x65, 0x6c]);
    assert_eq!(parser.next_message(), Ok(None));
    parser.extend(&[0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x80, 0x02, 0x6c, 0x6f]);
    assert_eq!(parser.next_message(), Ok(Some(Message::Ping(b"Hello"))));
    assert_eq!(parser.next_message(), Ok(Some(Message::Text("Hello"))));
    parser.extend(&[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    assert_eq!(parser.next_message(), Err(WireError::Masked));
}

#[test]
fn a_close_frame_tells_its_code_and_reason_and_is_the_last_that_is_read() {
    let bytes = [framed(0x88, b"\x03\xf0Too many requests"), framed(0x81, b"late")].concat();
    let mut parser = FrameParser::default();
    let expected = Seen::Close(Some(1008), "Too many requests".into());
    assert_eq!(seen(&mut parser, &bytes), [expected]);
    assert_eq!(seen(&mut parser, &framed(0x81, b"later")), []);
}

#[test]
fn closing_codes_are_those_that_an_endpoint_may_send() {
    // RFC 6455, 7.4.1 and 7.4.2, and the registry that it founds.
    let valid = [(1000, 1003), (1007, 1014), (3000, 4999)];
    for code in 0..=u16::MAX {
        let found = seen_at_once(&framed(0x88, &code.to_be_bytes()));
        let is_valid = valid.iter().any(|(first, last)| (*first..=*last).contains(&code));
        let expected =
            if is_valid { Seen::Close(Some(code), String::new()) } else { Seen::Failed(1002) };
        assert_eq!(found, [expected], "code {code}");
    }
    assert_eq!(seen_at_once(&[0x88, 0]), [Seen::Close(None, String::new())]);
    assert_eq!(seen_at_once(&[0x88, 1, 3]), [Seen::Failed(1002)]);
    assert_eq!(seen_at_once(&[0x88, 3, 3, 0xe8, 0xff]), [Seen::Failed(1007)]);
}

#[test]
fn text_must_be_utf8_and_binary_need_not() {
    assert_eq!(seen_at_once(&framed(0x82, b"ok\xff")), [Seen::Binary(b"ok\xff".to_vec())]);
    let mut parser = FrameParser::default();
    parser.extend(&framed(0x81, b"ok\xffko"));
    let error = WireError::Text { at: 2, text: "ok\u{fffd}ko".into() };
    assert_eq!(parser.next_message(), Err(error));
    assert_eq!(parser.next_message(), Ok(None));
}

#[test]
fn a_length_beyond_the_bound_is_refused_and_one_within_it_is_waited_for() {
    let head = |length: u64| [&[0x82, 127], &length.to_be_bytes()[..]].concat();
    let bound = MAX_MESSAGE_BYTES as u64;
    assert_eq!(seen_at_once(&head(bound)), []);
    for length in [bound + 1, 1 << 63, u64::MAX] {
        assert_eq!(seen_at_once(&head(length)), [Seen::Failed(1009)]);
    }
}

/// What a server may send, with what a client is to make of it.
fn sendings() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<Seen>)>> {
    let small = || prop::collection::vec(any::<u8>(), 0..=125);
    let control = prop_oneof![
        small().prop_map(|ping| (framed(0x89, &ping), vec![Seen::Ping(ping)])),
        small().prop_map(|pong| (framed(0x8a, &pong), vec![Seen::Pong])),
    ];
    let text = ".{0,300}".prop_map(|text| (1, text.clone().into_bytes(), Seen::Text(text)));
    let size = prop_oneof![0usize..1000, 65_000usize..70_000];
    let binary = (size, any::<u8>()).prop_map(|(size, byte)| {
        let payload: Vec<u8> = (0..size).map(|at| byte.wrapping_add(at as u8)).collect();
        (2, payload.clone(), Seen::Binary(payload))
    });
    let cuts = prop::collection::vec(any::<prop::sample::Index>(), 0..4);
    let between = prop::collection::vec(control.clone(), 4);
    let fragmented = (prop_oneof![text, binary], cuts, between).prop_map(
        |((opcode, payload, message), cuts, between)| {
            let mut edges: Vec<usize> =
                cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
            edges.sort_unstable();
            edges.push(payload.len());
            let (mut wire, mut found, mut start, mut first) = (Vec::new(), Vec::new(), 0, opcode);
            for (at, end) in edges.iter().enumerate() {
                let fin = if at + 1 == edges.len() { 0x80 } else { 0 };
                wire.extend(framed(fin | first, &payload[start..*end]));
                (start, first) = (*end, 0);
                if fin == 0 {
                    wire.extend(&between[at].0);
                    found.extend(between[at].1.iter().cloned());
                }
            }
            found.push(message);
            (wire, found)
        },
    );
    prop::collection::vec(prop_oneof![1 => control, 3 => fragmented], 1..6)
}

/// Feed the bytes in pieces of these sizes, over and over.
fn seen_in_pieces(wire: &[u8], sizes: &[usize]) -> Vec<Seen> {
    let (mut parser, mut found, mut rest) = (FrameParser::default(), Vec::new(), wire);
    for size in sizes.iter().cycle() {
        let (piece, left) = rest.split_at(rest.len().min(*size));
        found.extend(seen(&mut parser, piece));
        rest = left;
        if rest.is_empty() {
            break;
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn messages_do_not_depend_on_how_the_bytes_are_cut(
        sendings in sendings(),
        sizes in prop::collection::vec(1usize..3000, 1..40),
    ) {
        let wire: Vec<u8> = sendings.iter().flat_map(|(wire, _)| wire.clone()).collect();
        let expected: Vec<Seen> = sendings.into_iter().flat_map(|(_, seen)| seen).collect();
        prop_assert_eq!(seen_in_pieces(&wire, &sizes), expected);
    }

    #[test]
    fn any_bytes_are_read_alike_however_they_are_cut_and_end_at_one_failure(
        heads in prop::collection::vec((any::<u8>(), 0u8..128, any::<[u8; 8]>()), 0..20),
        sizes in prop::collection::vec(1usize..30, 1..20),
    ) {
        let wire: Vec<u8> =
            heads.iter().flat_map(|(a, b, rest)| [&[*a, *b], &rest[..]].concat()).collect();
        let found = seen_at_once(&wire);
        prop_assert_eq!(&seen_in_pieces(&wire, &sizes), &found);
        let is_end = |seen: &Seen| matches!(seen, Seen::Failed(_) | Seen::Close(..));
        prop_assert!(found.iter().rev().skip(1).all(|seen| !is_end(seen)));
    }
}
