//! Book messages to Arrow: each becomes as many rows as it has levels, and one before a whole book.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, TimestampNanosecondArray, UInt32Array, UInt64Array};
use arrow_buffer::{BooleanBufferBuilder, NullBuffer};

use super::{Column, string_array};
use crate::row::{BookLevel, BookMessage, LAST};

/// Both `bid` and `ask`.
const SIDE_BYTES: usize = 3;

pub(super) fn columns(messages: &VecDeque<BookMessage>, names: &[Arc<str>]) -> Vec<Column> {
    let rows = messages.iter().map(BookMessage::rows).sum();
    let name = |at: Option<crate::row::Name>| {
        at.and_then(|at| names.get(at.0 as usize)).map(|name| &**name)
    };
    vec![
        ("ord", ords(messages, rows)),
        ("ts_recv", times(messages, rows, |m| Some(m.header.ts_recv))),
        ("ts_event", times(messages, rows, |m| m.header.ts_event)),
        ("ts_sent", times(messages, rows, |m| m.header.ts_sent)),
        ("venue", texts(messages, rows, |m| name(Some(m.header.venue)))),
        ("symbol", texts(messages, rows, |m| name(m.header.symbol))),
        ("conn", conns(messages, rows)),
        ("flags", flags(messages, rows)),
        ("side", sides(messages, rows)),
        ("price", reals(messages, rows, |level| level.price)),
        ("size", reals(messages, rows, |level| level.size)),
        ("seq_first", counts(messages, rows, |m| m.seq_first)),
        ("seq", counts(messages, rows, |m| m.seq)),
    ]
}

fn ords(messages: &VecDeque<BookMessage>, rows: usize) -> ArrayRef {
    let mut ords = Vec::with_capacity(rows);
    for message in messages {
        ords.extend(message.header.ord..message.header.ord + message.rows() as u64);
    }
    Arc::new(UInt64Array::from(ords))
}

fn conns(messages: &VecDeque<BookMessage>, rows: usize) -> ArrayRef {
    let mut conns = Vec::with_capacity(rows);
    for message in messages {
        conns.extend(std::iter::repeat_n(message.header.conn, message.rows()));
    }
    Arc::new(UInt32Array::from(conns))
}

/// The last row of each message says so.
fn flags(messages: &VecDeque<BookMessage>, rows: usize) -> ArrayRef {
    let mut all = Vec::with_capacity(rows);
    for message in messages {
        let common = message.header.flags;
        if message.clears {
            all.push(common);
        }
        all.extend(message.levels.iter().map(|level| common | level.flags));
        if let Some(last) = all.last_mut() {
            *last |= LAST;
        }
    }
    Arc::new(UInt32Array::from(all))
}

fn times(
    messages: &VecDeque<BookMessage>,
    rows: usize,
    time: impl Fn(&BookMessage) -> Option<i64>,
) -> ArrayRef {
    let mut values = Vec::with_capacity(rows);
    for message in messages {
        values.extend(std::iter::repeat_n(time(message).unwrap_or(0), message.rows()));
    }
    let nulls = nulls(messages, rows, |message| time(message).is_some());
    Arc::new(TimestampNanosecondArray::new(values.into(), nulls))
}

fn counts(
    messages: &VecDeque<BookMessage>,
    rows: usize,
    count: impl Fn(&BookMessage) -> Option<u64>,
) -> ArrayRef {
    let mut values = Vec::with_capacity(rows);
    for message in messages {
        values.extend(std::iter::repeat_n(count(message).unwrap_or(0), message.rows()));
    }
    let nulls = nulls(messages, rows, |message| count(message).is_some());
    Arc::new(UInt64Array::new(values.into(), nulls))
}

fn nulls<'a>(
    messages: &'a VecDeque<BookMessage>,
    rows: usize,
    is_valid: impl Fn(&'a BookMessage) -> bool,
) -> Option<NullBuffer> {
    if messages.iter().all(&is_valid) {
        return None;
    }
    if !messages.iter().any(&is_valid) {
        return Some(NullBuffer::new_null(rows));
    }
    let mut valid = BooleanBufferBuilder::new(rows);
    for message in messages {
        valid.append_n(message.rows(), is_valid(message));
    }
    Some(NullBuffer::new(valid.finish()))
}

/// A clearing row has neither price nor size.
fn reals(
    messages: &VecDeque<BookMessage>,
    rows: usize,
    value: impl Fn(&BookLevel) -> f64,
) -> ArrayRef {
    let mut values = Vec::with_capacity(rows);
    for message in messages {
        if message.clears {
            values.push(0.0);
        }
        values.extend(message.levels.iter().map(&value));
    }
    Arc::new(Float64Array::new(values.into(), clearing_nulls(messages, rows)))
}

fn sides(messages: &VecDeque<BookMessage>, rows: usize) -> ArrayRef {
    let mut bytes = Vec::with_capacity(rows * SIDE_BYTES);
    let mut offsets = Vec::with_capacity(rows + 1);
    offsets.push(0i32);
    for message in messages {
        if message.clears {
            offsets.push(bytes.len() as i32);
        }
        push_offsets(&mut offsets, SIDE_BYTES, message.levels.len());
        for same in message.levels.chunk_by(|a, b| a.side == b.side) {
            bytes.extend_from_slice(same[0].side.text().repeat(same.len()).as_bytes());
        }
    }
    string_array(offsets, bytes, clearing_nulls(messages, rows))
}

/// Add the ends of so many texts of equal length.
fn push_offsets(offsets: &mut Vec<i32>, length: usize, count: usize) {
    let (start, length) = (offsets.last().copied().unwrap_or(0), length as i32);
    offsets.extend((1..=count as i32).map(|number| start + number * length));
}

fn clearing_nulls(messages: &VecDeque<BookMessage>, rows: usize) -> Option<NullBuffer> {
    if messages.iter().all(|message| !message.clears) {
        return None;
    }
    let mut valid = BooleanBufferBuilder::new(rows);
    for message in messages {
        valid.append_n(usize::from(message.clears), false);
        valid.append_n(message.levels.len(), true);
    }
    Some(NullBuffer::new(valid.finish()))
}

fn texts<'a>(
    messages: &'a VecDeque<BookMessage>,
    rows: usize,
    text: impl Fn(&'a BookMessage) -> Option<&'a str>,
) -> ArrayRef {
    let mut bytes = Vec::with_capacity(rows * 8);
    let mut offsets = Vec::with_capacity(rows + 1);
    offsets.push(0i32);
    for message in messages {
        let text = text(message).unwrap_or("");
        bytes.extend_from_slice(text.repeat(message.rows()).as_bytes());
        push_offsets(&mut offsets, text.len(), message.rows());
    }
    string_array(offsets, bytes, nulls(messages, rows, |message| text(message).is_some()))
}
