//! Rows to Arrow: one record batch per kind, its columns as the contract names them.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{
    Array, ArrayRef, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
    TimestampNanosecondArray, UInt32Array, UInt64Array,
};
use arrow_buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field, Schema};

use crate::buffer::Drained;
use crate::row::{Depth, Header, Name, Row, Rows, Trade, TradeId};

mod books;

/// The kinds of the contract in their order, which the digest counts by.
pub const KINDS: [&str; 10] =
    ["quote", "trade", "book", "depth", "instrument", "status", "clock", "stat", "signal", "frame"];

type Column = (&'static str, ArrayRef);

/// Turn what was drained into record batches; kinds without rows are left out.
pub fn tables(drained: &Drained) -> Result<Vec<(&'static str, RecordBatch)>, ArrowError> {
    let names = &drained.names;
    let Rows {
        quotes, trades, books, depths, instruments, statuses, clocks, stats, frames, ..
    } = &drained.rows;
    let mut tables = Vec::new();
    let mut add =
        |kind, rows: usize, columns: &dyn Fn() -> Vec<Column>| -> Result<(), ArrowError> {
            if rows > 0 {
                tables.push((kind, batch(columns())?));
            }
            Ok(())
        };
    add("quote", quotes.len(), &|| {
        with_header(
            quotes,
            names,
            [
                ("bid", reals(quotes, |r| r.bid)),
                ("bid_size", reals(quotes, |r| r.bid_size)),
                ("ask", reals(quotes, |r| r.ask)),
                ("ask_size", reals(quotes, |r| r.ask_size)),
                ("seq", counts(quotes, |r| r.seq)),
                ("origin", texts(quotes, |r| r.origin.text())),
            ],
        )
    })?;
    add("trade", trades.len(), &|| {
        with_header(
            trades,
            names,
            [
                ("price", reals(trades, |r| r.price)),
                ("size", reals(trades, |r| r.size)),
                ("side", optional_texts(trades, |r| r.side.map(super::row::Side::text))),
                ("trade_id", trade_ids(trades.iter().map(|r| r.trade_id.as_ref()))),
                ("seq", counts(trades, |r| r.seq)),
                ("conditions", conditions(trades)),
            ],
        )
    })?;
    add("book", drained.rows.book_rows, &|| books::columns(books, names))?;
    add("depth", depths.len(), &|| {
        with_header(
            depths,
            names,
            [
                ("bid_prices", lists(depths, |r| &r.bid_prices)),
                ("bid_sizes", lists(depths, |r| &r.bid_sizes)),
                ("ask_prices", lists(depths, |r| &r.ask_prices)),
                ("ask_sizes", lists(depths, |r| &r.ask_sizes)),
            ],
        )
    })?;
    add("instrument", instruments.len(), &|| {
        with_header(
            instruments,
            names,
            [
                ("raw_symbol", texts(instruments, |r| &r.raw_symbol)),
                ("base", texts(instruments, |r| &r.base)),
                ("quote_asset", texts(instruments, |r| &r.quote_asset)),
                ("tick_size", reals(instruments, |r| r.tick_size)),
                ("lot_size", reals(instruments, |r| r.lot_size)),
                ("price_precision", reals(instruments, |r| r.price_precision)),
                ("size_precision", reals(instruments, |r| r.size_precision)),
                ("seq_scope", texts(instruments, |r| r.seq_scope)),
                ("trading_status", optional_texts(instruments, |r| r.trading_status.as_deref())),
                ("source", optional_texts(instruments, |r| r.source.as_deref())),
            ],
        )
    })?;
    add("status", statuses.len(), &|| {
        with_header(
            statuses,
            names,
            [
                ("scope", texts(statuses, |r| r.scope)),
                ("channel", optional_texts(statuses, |r| r.channel.as_deref())),
                ("state", texts(statuses, |r| r.state)),
                ("kind", texts(statuses, |r| &r.kind)),
                ("detail", optional_texts(statuses, |r| r.detail.as_deref())),
                ("expected", counts(statuses, |r| r.expected)),
                ("got", counts(statuses, |r| r.got)),
                ("count", counts(statuses, |r| r.count)),
            ],
        )
    })?;
    add("clock", clocks.len(), &|| {
        let offsets: Int64Array = clocks.iter().map(|r| r.offset_ns).collect::<Vec<_>>().into();
        with_header(
            clocks,
            names,
            [
                ("offset_ns", Arc::new(offsets) as ArrayRef),
                ("buffered_rows", reals(clocks, |r| r.buffered_rows)),
                ("recorder_lag_ms", reals(clocks, |r| r.recorder_lag_ms)),
            ],
        )
    })?;
    add("stat", stats.len(), &|| {
        with_header(
            stats,
            names,
            [
                ("channel", texts(stats, |r| r.channel)),
                ("rows", reals(stats, |r| r.rows)),
                ("bytes", reals(stats, |r| r.bytes)),
                ("latency_p50_ms", reals(stats, |r| r.latency_p50_ms)),
                ("latency_p99_ms", reals(stats, |r| r.latency_p99_ms)),
                ("latency_max_ms", reals(stats, |r| r.latency_max_ms)),
                ("age_ms", reals(stats, |r| r.age_ms)),
                ("gaps", reals(stats, |r| r.gaps)),
                ("duplicates", reals(stats, |r| r.duplicates)),
                ("late", reals(stats, |r| r.late)),
                ("book_health", optional_texts(stats, |r| r.book_health)),
            ],
        )
    })?;
    add("frame", frames.len(), &|| {
        with_header(frames, names, [("raw", texts(frames, |r| &r.raw))])
    })?;
    Ok(tables)
}

fn batch(columns: Vec<Column>) -> Result<RecordBatch, ArrowError> {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
        .collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

fn with_header<R: Row, const N: usize>(
    rows: &VecDeque<R>,
    names: &[Arc<str>],
    columns: [Column; N],
) -> Vec<Column> {
    let headers = || rows.iter().map(Row::header);
    let ords: UInt64Array = headers().map(|h| h.ord).collect::<Vec<_>>().into();
    let conns: UInt32Array = headers().map(|h| h.conn).collect::<Vec<_>>().into();
    let flags: UInt32Array = headers().map(|h| h.flags).collect::<Vec<_>>().into();
    let mut all: Vec<Column> = vec![
        ("ord", Arc::new(ords)),
        ("ts_recv", times(rows, |h| Some(h.ts_recv))),
        ("ts_event", times(rows, |h| h.ts_event)),
        ("ts_sent", times(rows, |h| h.ts_sent)),
        ("venue", named(rows, names, |h| Some(h.venue))),
        ("symbol", named(rows, names, |h| h.symbol)),
        ("conn", Arc::new(conns)),
        ("flags", Arc::new(flags)),
    ];
    all.extend(columns);
    all
}

fn times<R: Row>(rows: &VecDeque<R>, time: impl Fn(&Header) -> Option<i64>) -> ArrayRef {
    let nulls = nulls(rows.iter().map(|row| time(row.header()).is_some()), rows.len());
    let values: Vec<i64> = rows.iter().map(|row| time(row.header()).unwrap_or(0)).collect();
    Arc::new(TimestampNanosecondArray::new(values.into(), nulls))
}

fn reals<R>(rows: &VecDeque<R>, value: impl Fn(&R) -> f64) -> ArrayRef {
    let values: Vec<f64> = rows.iter().map(value).collect();
    let nulls = nulls(values.iter().map(|value| !value.is_nan()), values.len());
    Arc::new(Float64Array::new(values.into(), nulls))
}

fn counts<R>(rows: &VecDeque<R>, value: impl Fn(&R) -> Option<u64>) -> ArrayRef {
    let nulls = nulls(rows.iter().map(|row| value(row).is_some()), rows.len());
    let values: Vec<u64> = rows.iter().map(|row| value(row).unwrap_or(0)).collect();
    Arc::new(UInt64Array::new(values.into(), nulls))
}

/// Most columns have no null at all: find that out before building a bitmap.
fn nulls(mut valid: impl Iterator<Item = bool> + Clone, len: usize) -> Option<NullBuffer> {
    let all = valid.clone();
    valid.any(|valid| !valid).then(|| {
        let mut bits = arrow_buffer::BooleanBufferBuilder::new(len);
        all.for_each(|valid| bits.append(valid));
        NullBuffer::new(bits.finish())
    })
}

fn named<R: Row>(
    rows: &VecDeque<R>,
    names: &[Arc<str>],
    name: impl Fn(&Header) -> Option<Name>,
) -> ArrayRef {
    optional_texts(rows, |row| {
        name(row.header()).and_then(|n| names.get(n.0 as usize)).map(|n| &**n)
    })
}

fn texts<'a, R>(rows: &'a VecDeque<R>, text: impl Fn(&'a R) -> &'a str) -> ArrayRef {
    optional_texts(rows, |row| Some(text(row)))
}

fn optional_texts<'a, R>(
    rows: &'a VecDeque<R>,
    text: impl Fn(&'a R) -> Option<&'a str>,
) -> ArrayRef {
    let mut bytes = Vec::with_capacity(rows.len() * 8);
    let mut offsets = Vec::with_capacity(rows.len() + 1);
    offsets.push(0i32);
    let mut missing = false;
    for row in rows {
        match text(row) {
            Some(text) => bytes.extend_from_slice(text.as_bytes()),
            None => missing = true,
        }
        offsets.push(bytes.len() as i32);
    }
    let valid = || rows.iter().map(|row| text(row).is_some()).collect::<Vec<bool>>();
    string_array(offsets, bytes, missing.then(|| NullBuffer::from(valid())))
}

fn trade_ids<'a>(ids: impl Iterator<Item = Option<&'a TradeId>> + Clone) -> ArrayRef {
    let valid: Vec<bool> = ids.clone().map(|id| id.is_some()).collect();
    let mut bytes = Vec::with_capacity(valid.len() * 10);
    let mut offsets = Vec::with_capacity(valid.len() + 1);
    offsets.push(0i32);
    for id in ids {
        match id {
            Some(TradeId::Number(number)) => write_number(*number, &mut bytes),
            Some(TradeId::Text(text)) => bytes.extend_from_slice(text.as_bytes()),
            None => {}
        }
        offsets.push(bytes.len() as i32);
    }
    string_array(offsets, bytes, valid.contains(&false).then(|| NullBuffer::from(valid)))
}

fn write_number(mut number: u64, bytes: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    bytes.extend_from_slice(&digits[at..]);
}

fn string_array(offsets: Vec<i32>, bytes: Vec<u8>, nulls: Option<NullBuffer>) -> ArrayRef {
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Arc::new(StringArray::new(offsets, bytes.into(), nulls))
}

fn conditions(trades: &VecDeque<Trade>) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for trade in trades {
        if let Some(conditions) = &trade.conditions {
            conditions.iter().for_each(|condition| lists.values().append_value(condition));
        }
        lists.append(trade.conditions.is_some());
    }
    let lists: ListArray = lists.finish();
    Arc::new(lists)
}

fn lists(depths: &VecDeque<Depth>, list: impl Fn(&Depth) -> &[f64]) -> ArrayRef {
    let mut values = Vec::with_capacity(depths.iter().map(|depth| list(depth).len()).sum());
    for depth in depths {
        values.extend_from_slice(list(depth));
    }
    let offsets = OffsetBuffer::from_lengths(depths.iter().map(|depth| list(depth).len()));
    let item = Arc::new(Field::new_list_field(DataType::Float64, true));
    Arc::new(ListArray::new(item, offsets, Arc::new(Float64Array::from(values)), None))
}
