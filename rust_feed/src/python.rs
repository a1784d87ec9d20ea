//! The Python module `monitor._rust_feed`: thin shells, the GIL released wherever work is done.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use pyo3_arrow::PyRecordBatch;

use crate::buffer::{self, Buffer};
use crate::market::Handover;
use crate::row::{Clock, Header, Rows, Status};
use crate::session::{self, Action, Options};
use crate::{digest, table, venue};

/// The bounded buffer that sessions fill and the pipeline drains.
#[pyclass(frozen, module = "monitor._rust_feed")]
struct Feed {
    buffer: Arc<Buffer>,
    /// What its sessions leave to those that come next.
    handover: Arc<Handover>,
}

#[pymethods]
impl Feed {
    #[new]
    fn new(capacity_rows: usize) -> Self {
        Feed { buffer: Arc::new(Buffer::new(capacity_rows)), handover: Arc::default() }
    }

    fn drain<'py>(
        &self,
        py: Python<'py>,
        wait_ms: u64,
        linger_ms: u64,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let (wait, linger) = (Duration::from_millis(wait_ms), Duration::from_millis(linger_ms));
        let tables = py.detach(|| {
            self.buffer.drain(wait, linger).map(|drained| table::tables(&drained)).transpose()
        });
        let Some(tables) = tables.map_err(|error| PyRuntimeError::new_err(error.to_string()))?
        else {
            return Ok(None);
        };
        let kinds = PyDict::new(py);
        for (kind, batch) in tables {
            kinds.set_item(kind, PyRecordBatch::new(batch))?;
        }
        Ok(Some(kinds))
    }

    fn clock(&self, py: Python<'_>, now_ns: i64, offset_ns: i64, recorder_lag_ms: f64) {
        py.detach(|| {
            let buffered_rows = self.buffer.len() as f64;
            let header = self.header(now_ns);
            let mut rows = Rows { next_ord: 1, ..Rows::default() };
            rows.clocks.push_back(Clock { header, offset_ns, buffered_rows, recorder_lag_ms });
            self.buffer.push(&mut rows, 1);
        });
    }

    fn step(&self, by_ns: i64) {
        self.buffer.step(by_ns);
    }

    #[pyo3(signature = (now_ns, scope, state, kind, detail=None, count=None))]
    fn status(
        &self,
        now_ns: i64,
        scope: &str,
        state: &str,
        kind: &str,
        detail: Option<&str>,
        count: Option<u64>,
    ) -> PyResult<()> {
        let mut rows = Rows { next_ord: 1, ..Rows::default() };
        rows.statuses.push_back(Status {
            header: self.header(now_ns),
            scope: known(&["feed", "recorder"], scope)?,
            channel: None,
            state: known(&["initialising", "connected", "failed", "stopped"], state)?,
            kind: kind.into(),
            detail: detail.map(Into::into),
            expected: None,
            got: None,
            count,
        });
        self.buffer.push(&mut rows, 1);
        Ok(())
    }

    fn close(&self) {
        self.buffer.close();
    }

    fn __len__(&self) -> usize {
        self.buffer.len()
    }
}

impl Feed {
    fn header(&self, now_ns: i64) -> Header {
        Header {
            ord: 0,
            ts_recv: now_ns,
            ts_event: None,
            ts_sent: None,
            venue: self.buffer.intern(buffer::SELF),
            symbol: None,
            conn: 0,
            flags: 0,
            message: 0,
        }
    }
}

fn known(words: &[&'static str], found: &str) -> PyResult<&'static str> {
    let word = words.iter().find(|word| **word == found);
    word.copied()
        .ok_or_else(|| PyValueError::new_err(format!("expected one of {words:?}, found {found:?}")))
}

/// One connection's life without its I/O.
#[pyclass(frozen, module = "monitor._rust_feed")]
struct Session {
    inner: Mutex<session::Session>,
}

type Actions<'py> = Vec<(&'static str, Bound<'py, PyAny>)>;

#[pymethods]
impl Session {
    #[new]
    fn new(feed: &Feed, venue: &str, options: &str) -> PyResult<Self> {
        let options: Options = serde_json::from_str(options).map_err(|error| {
            PyValueError::new_err(format!("expected session options, found {error}"))
        })?;
        let session = session::Session::new(Arc::clone(&feed.buffer), venue, options);
        let mut session = session.ok_or_else(|| {
            let names: Vec<_> = venue::PROFILES.iter().map(|profile| profile.name).collect();
            PyValueError::new_err(format!("expected one of {names:?}, found {venue:?}"))
        })?;
        session.share(Arc::clone(&feed.handover));
        Ok(Session { inner: Mutex::new(session) })
    }

    fn expect(&self, py: Python<'_>, now_ns: i64) {
        py.detach(|| self.lock().expect(now_ns));
    }

    fn prepare<'py>(&self, py: Python<'py>) -> PyResult<Actions<'py>> {
        to_python(py, py.detach(|| self.lock().prepare()))
    }

    fn opened<'py>(
        &self,
        py: Python<'py>,
        conn: u32,
        now_ns: i64,
        address: &str,
    ) -> PyResult<Actions<'py>> {
        to_python(py, py.detach(|| self.lock().opened(conn, now_ns, address)))
    }

    fn keep(&self, py: Python<'_>, symbols: Vec<String>, goes_on: bool) {
        py.detach(|| self.lock().keep(symbols, goes_on));
    }

    fn go_on(&self, py: Python<'_>, now_ns: i64) {
        py.detach(|| self.lock().go_on(now_ns));
    }

    fn closed(&self, py: Python<'_>, conn: u32, now_ns: i64, kind: &str, why: &str) {
        py.detach(|| self.lock().closed(conn, now_ns, kind, why));
    }

    fn receive<'py>(&self, py: Python<'py>, data: &[u8], now_ns: i64) -> PyResult<Actions<'py>> {
        to_python(py, py.detach(|| self.lock().receive(data, now_ns)))
    }

    fn sent(&self, py: Python<'_>, text: &str) {
        py.detach(|| self.lock().sent(text));
    }

    fn fall_back(&self, py: Python<'_>, conn: u32, now_ns: i64, why: &str) {
        py.detach(|| self.lock().fall_back(conn, now_ns, why));
    }

    fn began(&self, py: Python<'_>, conn: u32, now_ns: i64, took_over: bool) {
        py.detach(|| self.lock().began(conn, now_ns, took_over));
    }

    fn left(&self, py: Python<'_>, raw_symbols: Vec<String>, now_ns: i64) {
        py.detach(move || self.lock().left(&raw_symbols, now_ns));
    }

    fn frame(&self, py: Python<'_>, conn: u32, text: &str, now_ns: i64, flags: u32) {
        py.detach(|| self.lock().frame(conn, text, now_ns, flags));
    }

    fn fetched(&self, py: Python<'_>, conn: u32, url: &str, body: &str, now_ns: i64, flags: u32) {
        py.detach(|| self.lock().fetched(conn, url, body, now_ns, flags));
    }

    fn fetch_failed(
        &self,
        py: Python<'_>,
        conn: u32,
        url: &str,
        kind: &str,
        why: &str,
        now_ns: i64,
    ) {
        py.detach(|| self.lock().fetch_failed(conn, url, kind, why, now_ns));
    }

    fn opened_beside<'py>(
        &self,
        py: Python<'py>,
        conn: u32,
        now_ns: i64,
        address: &str,
    ) -> PyResult<Actions<'py>> {
        to_python(py, py.detach(|| self.lock().opened_beside(conn, now_ns, address)))
    }

    fn receive_beside<'py>(
        &self,
        py: Python<'py>,
        data: &[u8],
        now_ns: i64,
    ) -> PyResult<Actions<'py>> {
        to_python(py, py.detach(|| self.lock().receive_beside(data, now_ns)))
    }

    fn tick_beside<'py>(&self, py: Python<'py>, now_ns: i64) -> PyResult<Actions<'py>> {
        to_python(py, py.detach(|| self.lock().tick_beside(now_ns)))
    }

    fn take_over<'py>(&self, py: Python<'py>, now_ns: i64) -> PyResult<Actions<'py>> {
        to_python(py, py.detach(|| self.lock().take_over(now_ns)))
    }

    fn lost<'py>(&self, py: Python<'py>, now_ns: i64, why: &str) -> PyResult<Actions<'py>> {
        to_python(py, py.detach(|| self.lock().lost(now_ns, why)))
    }

    fn closed_beside(&self, py: Python<'_>, now_ns: i64, kind: &str, why: &str) {
        py.detach(|| self.lock().closed_beside(now_ns, kind, why));
    }

    fn tick<'py>(&self, py: Python<'py>, now_ns: i64) -> PyResult<Actions<'py>> {
        to_python(py, py.detach(|| self.lock().tick(now_ns)))
    }

    fn announce(&self, py: Python<'_>, now_ns: i64) {
        py.detach(|| self.lock().announce(now_ns));
    }

    #[getter]
    fn is_answered(&self) -> bool {
        self.lock().is_answered()
    }

    #[getter]
    fn ignored_frames(&self) -> u64 {
        self.lock().ignored_frames()
    }
}

impl Session {
    fn lock(&self) -> MutexGuard<'_, session::Session> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn to_python(py: Python<'_>, actions: Vec<Action>) -> PyResult<Actions<'_>> {
    let text = |text: String| Ok::<_, PyErr>(text.into_pyobject(py)?.into_any());
    actions
        .into_iter()
        .map(|action| match action {
            Action::Send(message) => Ok(("send", text(message)?)),
            Action::Ping => Ok(("ping", text(String::new())?)),
            Action::Pong(payload) => Ok(("pong", PyBytes::new(py, &payload).into_any())),
            Action::Fetch(fetch) => {
                Ok(("fetch", (fetch.path, fetch.body).into_pyobject(py)?.into_any()))
            }
            Action::Parts(parts) => Ok(("parts", parts.into_pyobject(py)?.into_any())),
            Action::Replace(why) => Ok(("replace", text(why)?)),
            Action::TakeOver => Ok(("take_over", text(String::new())?)),
            Action::Reconnect(why) => Ok(("reconnect", text(why)?)),
            Action::Close(code, why) => Ok(("close", (code, why).into_pyobject(py)?.into_any())),
        })
        .collect()
}

/// SHA-256 over the canonical bytes of rows in `ord` order.
#[pyclass(frozen, module = "monitor._rust_feed")]
struct Digest {
    inner: Mutex<digest::Digest>,
}

#[pymethods]
impl Digest {
    #[new]
    fn new() -> Self {
        Digest { inner: Mutex::default() }
    }

    fn update(&self, py: Python<'_>, kinds: &Bound<'_, PyDict>) -> PyResult<()> {
        let mut batches = Vec::with_capacity(kinds.len());
        for (kind, rows) in kinds {
            let rows: PyRecordBatch = rows.extract()?;
            batches.push((kind.extract::<String>()?, rows.into_inner()));
        }
        let updated = py.detach(|| self.lock().update(&batches));
        updated.map_err(|error| PyValueError::new_err(error.to_string()))
    }

    fn hexdigest(&self) -> String {
        self.lock().hexdigest()
    }
}

impl Digest {
    fn lock(&self) -> MutexGuard<'_, digest::Digest> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is fixed about each venue: addresses and channels.
#[pyfunction]
fn venues(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let all = PyDict::new(py);
    for profile in venue::PROFILES {
        let about = PyDict::new(py);
        about.set_item("ws_url", profile.ws_url)?;
        about.set_item("ws_path", profile.ws_path)?;
        about.set_item("rest_url", profile.rest_url)?;
        about.set_item("rest_headers", profile.rest_headers.to_vec())?;
        let channels: Vec<_> = profile.channels.iter().map(|channel| channel.text()).collect();
        about.set_item("channels", channels)?;
        let list_path = match profile.instruments {
            venue::InstrumentList::Rest(path) => path.split('?').next(),
            venue::InstrumentList::InBand { .. } | venue::InstrumentList::None => None,
        };
        about.set_item("list_path", list_path)?;
        let key = profile.key.as_ref().map(|key| (key.variable, key.query, key.header));
        about.set_item("key", key)?;
        about.set_item("single", profile.single)?;
        all.set_item(profile.name, about)?;
    }
    Ok(all)
}

#[pymodule]
mod _rust_feed {
    #[pymodule_export]
    use super::{Digest, Feed, Session, venues};
}
