//! The digest of recorded rows: SHA-256 over their canonical bytes in `ord` order, batches of any size.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampNanosecondType, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::table::KINDS;

#[derive(Debug, Error)]
pub enum DigestError {
    #[error("expected a kind of row, found {0:?}")]
    Kind(String),
    #[error("expected {kind} rows with an `ord` of unsigned 64-bit integers, found none")]
    Ord { kind: &'static str },
    #[error("expected a column type of the contract, found {0}")]
    Type(DataType),
}

/// Takes rows in `ord` order, merged over all kinds but `signal`.
#[derive(Clone, Default)]
pub struct Digest {
    sha: Sha256,
    line: Vec<u8>,
}

struct Cursor<'a> {
    kind: u8,
    ords: &'a [u64],
    columns: &'a [ArrayRef],
    at: usize,
}

impl Digest {
    pub fn update(&mut self, batches: &[(String, RecordBatch)]) -> Result<(), DigestError> {
        let mut cursors = Vec::new();
        for (name, batch) in batches {
            let at = KINDS.iter().position(|kind| kind == name);
            let at = at.ok_or_else(|| DigestError::Kind(name.clone()))?;
            if KINDS[at] == "signal" || batch.num_rows() == 0 {
                continue;
            }
            let ords = batch.column_by_name("ord").and_then(|c| c.as_primitive_opt::<UInt64Type>());
            let ords = ords.ok_or(DigestError::Ord { kind: KINDS[at] })?;
            if let Some(column) =
                batch.columns().iter().find(|column| !is_canonical(column.data_type()))
            {
                return Err(DigestError::Type(column.data_type().clone()));
            }
            cursors.push(Cursor {
                kind: at as u8,
                ords: ords.values(),
                columns: batch.columns(),
                at: 0,
            });
        }
        while let Some(next) = cursors.iter_mut().min_by_key(|cursor| cursor.ords[cursor.at]) {
            self.line.clear();
            self.line.push(next.kind);
            for column in next.columns {
                write_value(column, next.at, &mut self.line);
            }
            self.sha.update(&self.line);
            next.at += 1;
            if next.at == next.ords.len() {
                let done = next.kind;
                cursors.retain(|cursor| cursor.kind != done);
            }
        }
        Ok(())
    }

    /// 64 lower-case hexadecimal digits for all rows so far.
    pub fn hexdigest(&self) -> String {
        let bytes = self.sha.clone().finalize();
        bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(hex_digit).collect()
    }
}

fn hex_digit(half: u8) -> char {
    char::from_digit(u32::from(half), 16).unwrap_or('0')
}

fn is_canonical(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(field) => is_canonical(field.data_type()),
        other => matches!(
            other,
            DataType::UInt64
                | DataType::UInt32
                | DataType::Int64
                | DataType::Float64
                | DataType::Utf8
                | DataType::Timestamp(TimeUnit::Nanosecond, _)
        ),
    }
}

/// A null is 0; a value is 1, then its bytes little-endian, texts and lists behind their length.
fn write_value(column: &ArrayRef, at: usize, line: &mut Vec<u8>) {
    if column.is_null(at) {
        line.push(0);
        return;
    }
    line.push(1);
    match column.data_type() {
        DataType::UInt64 => {
            line.extend(column.as_primitive::<UInt64Type>().value(at).to_le_bytes());
        }
        DataType::UInt32 => {
            line.extend(column.as_primitive::<UInt32Type>().value(at).to_le_bytes());
        }
        DataType::Int64 => line.extend(column.as_primitive::<Int64Type>().value(at).to_le_bytes()),
        DataType::Float64 => {
            line.extend(column.as_primitive::<Float64Type>().value(at).to_le_bytes());
        }
        DataType::Timestamp(..) => {
            line.extend(column.as_primitive::<TimestampNanosecondType>().value(at).to_le_bytes());
        }
        DataType::Utf8 => {
            let text = column.as_string::<i32>().value(at);
            line.extend((text.len() as u32).to_le_bytes());
            line.extend_from_slice(text.as_bytes());
        }
        _ => {
            let items = column.as_list::<i32>().value(at);
            line.extend((items.len() as u32).to_le_bytes());
            (0..items.len()).for_each(|item| write_value(&items, item, line));
        }
    }
}
