//! Rows of one message are in the order in which what they tell of happened.

mod shared;
use shared::*;

#[test]
fn trades_of_one_message_of_coinbase_are_written_the_oldest_first() {
    let (mut session, buffer) = reader("coinbase");
    let trade = |id: u64, price: &str, time: &str| {
        format!(
            r#"{{"product_id":"BTC-USD","trade_id":"{id}","price":"{price}","size":"0.5","time":"2026-09-21T14:13:{time}Z","side":"BUY"}}"#
        )
    };
    // Two of one time, too.
    let trades = [
        trade(106, "104", "20.250000"),
        trade(105, "103", "20.250000"),
        trade(104, "102", "20.200000"),
        trade(103, "101", "20.150000"),
    ];
    let frame = format!(
        r#"{{"channel":"market_trades","timestamp":"2026-09-21T14:13:20.3Z","sequence_num":2,"events":[{{"type":"update","trades":[{}]}}]}}"#,
        trades.join(",")
    );
    session.frame(0, &frame, START, 0);
    let rows = drained(&buffer);
    let prices: Vec<f64> = rows.trades.iter().map(|trade| trade.price).collect();
    assert_eq!(prices, [101.0, 102.0, 103.0, 104.0]);
    assert_eq!(kinds(&rows), ["symbol_assumed"]);
}
