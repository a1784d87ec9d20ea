//! Exchange frames to Arrow rows: what runs below the transport, without a clock and without I/O.

pub mod book;
pub mod buffer;
pub mod digest;
pub mod fill;
pub mod fixed;
pub mod frame;
pub mod market;
pub mod quality;
pub mod row;
pub mod scan;
pub mod session;
pub mod stat;
pub mod subscription;
pub mod table;
pub mod tick;
pub mod venue;

#[cfg(feature = "python")]
mod python;
