//! What a session is told at its making.

use serde::Deserialize;

use crate::venue::Setup;

/// What a session is to follow.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    #[serde(default)]
    pub sources: Vec<Wanted>,
    /// What kept frames call it, over all its connections.
    #[serde(default)]
    pub name: String,
    /// Write rows of connection life and per-second measures; ingest does not.
    #[serde(default)]
    pub live: bool,
    /// Keep every payload verbatim as a `frame` row.
    #[serde(default)]
    pub raw: bool,
    /// Ask by REST for the trades that a gap tells of.
    #[serde(default)]
    pub gap_fill: bool,
    /// Time between two polls where REST stands in for the stream; 0 leaves it to the venue.
    #[serde(default)]
    pub interval_ms: u64,
    /// Which part of the sources this connection takes, where one cannot carry all.
    #[serde(default)]
    pub part: usize,
    /// Bring everything by two connections, so that one may fail.
    #[serde(default)]
    pub twice: bool,
    #[serde(default)]
    pub setup: Setup,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Canonical or as the venue spells it.
    pub symbol: String,
    /// None named: all of the venue's default channels.
    #[serde(default)]
    pub channels: Vec<String>,
    /// Symbols that other sessions follow: what they fit too is left out.
    #[serde(default)]
    pub yields_to: Vec<String>,
}
