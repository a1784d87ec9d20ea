//! Book messages of exactly the documented spelling, read in one pass.

use crate::book::{Level, Levels};
use crate::scan::Scanner;

/// What a message says besides its levels.
pub(super) struct BookMessage<'a> {
    pub(super) is_snapshot: bool,
    pub(super) symbol: &'a str,
    pub(super) checksum: u32,
    pub(super) timestamp: &'a str,
}

/// Read the message, putting its levels into `levels`; None leaves it to serde.
pub(super) fn book<'a>(frame: &'a str, levels: &mut Levels) -> Option<BookMessage<'a>> {
    let mut scan = Scanner::new(frame.as_bytes());
    scan.literal(b"{\"channel\":\"book\",\"type\":\"")?;
    let is_snapshot = match scan.text()? {
        "snapshot" => true,
        "update" => false,
        _ => return None,
    };
    scan.literal(b"\",\"data\":[{\"symbol\":\"")?;
    let symbol = scan.text()?;
    levels.clear();
    scan.literal(b"\",\"bids\":")?;
    side(&mut scan, &mut levels.bids)?;
    scan.literal(b",\"asks\":")?;
    side(&mut scan, &mut levels.asks)?;
    scan.literal(b",\"checksum\":")?;
    let checksum = u32::try_from(scan.integer()?).ok()?;
    scan.literal(b",\"timestamp\":\"")?;
    let timestamp = scan.text()?;
    scan.literal(b"\"}]}")?;
    scan.rest().is_empty().then_some(BookMessage { is_snapshot, symbol, checksum, timestamp })
}

fn side(scan: &mut Scanner, levels: &mut Vec<Level>) -> Option<()> {
    scan.literal(b"[")?;
    if scan.literal(b"]").is_some() {
        return Some(());
    }
    loop {
        scan.literal(b"{\"price\":")?;
        let price = scan.fixed()?;
        scan.literal(b",\"qty\":")?;
        let size = scan.fixed()?;
        scan.literal(b"}")?;
        levels.push(Level { price, size });
        if scan.literal(b",").is_none() {
            return scan.literal(b"]");
        }
    }
}
