//! A wall clock that is set forward: no line is held to be dead for it, and none is renewed.

use std::sync::Arc;
use std::time::Duration;

use rust_feed::buffer::Buffer;
use rust_feed::session::{Action, Options, Session, Wanted};

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;
const LIST: &str = r#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[]}]}"#;

/// A session that was opened a second ago, and the buffer that it writes into.
fn connected() -> (Session, Arc<Buffer>) {
    let buffer = Arc::new(Buffer::new(1_000));
    let sources = vec![Wanted { symbol: "BTC-USDT".into(), ..Wanted::default() }];
    let options = Options { sources, live: true, ..Options::default() };
    let mut session = Session::new(Arc::clone(&buffer), "binance", options).expect("a venue");
    session.fetched(1, "/api/v3/exchangeInfo", LIST, SECOND, 0);
    session.opened(1, SECOND, "ws://x");
    session.tick(2 * SECOND);
    (session, buffer)
}

fn leaves(actions: &[Action]) -> bool {
    actions.iter().any(|action| {
        matches!(action, Action::Reconnect(_) | Action::Replace(_) | Action::Close(..))
    })
}

#[test]
fn a_day_that_passed_on_the_wall_clock_alone_ends_no_connection() {
    let (mut session, buffer) = connected();
    buffer.step(DAY);
    assert!(!leaves(&session.tick(DAY + 3 * SECOND)));
    let drained = buffer.drain(Duration::ZERO, Duration::ZERO).expect("rows");
    let kinds: Vec<_> = drained.rows.statuses.iter().map(|row| row.kind.to_string()).collect();
    for kind in ["half_open", "no_data", "silent"] {
        assert!(!kinds.iter().any(|told| told == kind), "{kinds:?}");
    }
    // Silence that lasted is told as ever.
    assert!(leaves(&session.tick(DAY + 60 * SECOND)));
}

#[test]
fn a_step_from_before_a_session_is_none_of_its_own() {
    let buffer = Arc::new(Buffer::new(1_000));
    buffer.step(DAY);
    let sources = vec![Wanted { symbol: "BTC-USDT".into(), ..Wanted::default() }];
    let options = Options { sources, live: true, ..Options::default() };
    let mut session = Session::new(Arc::clone(&buffer), "binance", options).expect("a venue");
    session.fetched(1, "/api/v3/exchangeInfo", LIST, DAY, 0);
    session.opened(1, DAY, "ws://x");
    assert!(!leaves(&session.tick(DAY + SECOND)));
    assert!(leaves(&session.tick(DAY + 60 * SECOND)));
}

#[test]
fn the_same_day_in_which_nothing_came_ends_it() {
    let (mut session, _) = connected();
    assert!(leaves(&session.tick(DAY + 3 * SECOND)));
}
