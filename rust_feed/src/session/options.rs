//! What a session is told at its making.

use serde::Deserialize;

/// What a session is to follow.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    #[serde(default)]
    pub sources: Vec<Wanted>,
    /// Write rows of connection life and per-second measures; ingest does not.
    #[serde(default)]
    pub live: bool,
    /// Keep every payload verbatim as a `frame` row.
    #[serde(default)]
    pub raw: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Canonical or as the venue spells it.
    pub symbol: String,
    /// None named: all of the venue's default channels.
    #[serde(default)]
    pub channels: Vec<String>,
}
