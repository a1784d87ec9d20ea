//! Level 2 messages of exactly the spelling seen on the wire, read in one pass: snapshots have 5 MB.

use crate::book::{Level, Levels};
use crate::scan::Scanner;

/// What a message of one event says besides its levels.
pub(super) struct Level2<'a> {
    pub(super) timestamp: &'a str,
    pub(super) sequence: u64,
    pub(super) is_snapshot: bool,
    pub(super) product_id: &'a str,
}

/// Read the message, putting its levels into `levels`; None leaves it to serde.
pub(super) fn level2<'a>(frame: &'a str, levels: &mut Levels) -> Option<Level2<'a>> {
    let mut scan = Scanner::new(frame.as_bytes());
    scan.literal(b"{\"channel\":\"l2_data\",")?;
    // Documented, and absent in production.
    let _ = scan.literal(b"\"client_id\":\"\",");
    scan.literal(b"\"timestamp\":\"")?;
    let timestamp = scan.text()?;
    scan.literal(b"\",\"sequence_num\":")?;
    let sequence = scan.integer()?;
    scan.literal(b",\"events\":[{\"type\":\"")?;
    let is_snapshot = match scan.text()? {
        "snapshot" => true,
        "update" => false,
        _ => return None,
    };
    scan.literal(b"\",\"product_id\":\"")?;
    let product_id = scan.text()?;
    scan.literal(b"\",\"updates\":[")?;
    levels.clear();
    loop {
        let into = if scan.literal(b"{\"side\":\"bid\",\"event_time\":\"").is_some() {
            &mut levels.bids
        } else {
            scan.literal(b"{\"side\":\"offer\",\"event_time\":\"")?;
            &mut levels.asks
        };
        scan.text()?;
        scan.literal(b"\",\"price_level\":\"")?;
        let price = scan.fixed()?;
        scan.literal(b"\",\"new_quantity\":\"")?;
        let size = scan.fixed()?;
        scan.literal(b"\"}")?;
        into.push(Level { price, size });
        if scan.literal(b",").is_none() {
            break;
        }
    }
    scan.literal(b"]}]}")?;
    scan.rest().is_empty().then_some(Level2 { timestamp, sequence, is_snapshot, product_id })
}
