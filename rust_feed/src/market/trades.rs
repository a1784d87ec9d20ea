//! Trades as a market takes them: what came before is told by number or time, what is missing too.

use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;

use super::Market;
use crate::quality::Verdict;
use crate::row::{self, Header, Trade, TradeId};
use crate::subscription::{CHANNELS, Channel};
use crate::tick::TradeTick;

const SECOND_NS: i64 = 1_000_000_000;

impl Market {
    /// Take a trade that REST told of; those that the stream brought before are left out.
    pub fn polled_trade(&mut self, raw_symbol: &str, tick: TradeTick) {
        if self.is_filling() {
            return self.backfill(raw_symbol, tick);
        }
        if !self.takes_polled {
            return;
        }
        let at = self.follow(raw_symbol);
        let trades = &mut self.followed[at].trades;
        let known = match &tick.trade_id {
            Some(TradeId::Number(id)) if self.profile.trade_ids_count_up => {
                let ids = &mut trades.ids[tick.channel as usize];
                let streamed = tick.ts_event.is_some_and(|ns| trades.covered.has_passed(ns));
                if streamed {
                    // Its number is news, though the trade is not: the next is held against it.
                    ids.judge(*id);
                }
                streamed || ids.has_passed(*id)
            }
            Some(TradeId::Number(id)) => {
                let ids = &trades.ids[tick.channel as usize];
                trades.recent.knows(*id) || ids.is_filled(*id)
            }
            _ => false,
        };
        if !known {
            if let Some(ts_event) = tick.ts_event {
                self.followed[at].trades.covered.cover(ts_event);
            }
            self.trade(raw_symbol, TradeTick { flags: tick.flags | row::REST, ..tick });
        }
    }

    /// Whether REST's last price tells of a trade that neither the stream nor REST told of before.
    pub fn is_new_price(&mut self, raw_symbol: &str, price: f64, ts_event: Option<i64>) -> bool {
        if !self.takes_polled {
            return false;
        }
        let at = self.follow(raw_symbol);
        let trades = &mut self.followed[at].trades;
        let told = Some((price, ts_event));
        if std::mem::replace(&mut trades.told, told) == told {
            return false;
        }
        let (Some((last_ns, last_price)), Some(ns)) = (trades.last, ts_event) else { return true };
        // REST tells whole seconds.
        let last_ns = last_ns / SECOND_NS * SECOND_NS;
        ns > last_ns || (ns == last_ns && price.to_bits() != last_price.to_bits())
    }

    /// Take a trade of the stream, judged by its number, or else by its time.
    pub fn trade(&mut self, raw_symbol: &str, tick: TradeTick) {
        let at = self.follow(raw_symbol);
        let trades = &mut self.followed[at].trades;
        let id = match &tick.trade_id {
            Some(TradeId::Number(id)) => Some(*id),
            _ => None,
        };
        let snapshot = tick.flags & row::SNAPSHOT != 0;
        // What its connection's number told already is not told once more by its own.
        let told = tick.flags & (row::DUPLICATE | row::LATE) != 0;
        let counts_up = self.profile.trade_ids_count_up;
        let restarts = id.is_some_and(|id| trades.is_restart(tick.channel, id, tick.ts_event));
        let ids = &mut trades.ids[tick.channel as usize];
        let filled = id.is_some_and(|id| ids.is_filled(id));
        let mut missing = None;
        let verdict = match id {
            Some(id) if restarts => {
                trades.recent.restart();
                trades.recent.judge(id);
                ids.restart(id)
            }
            Some(id) if counts_up && snapshot && ids.has_passed(id) => Verdict::Duplicate,
            Some(id) => {
                let verdict = ids.judge(id);
                if let Verdict::Gap { expected } = verdict {
                    missing = Some([expected, id]);
                }
                if counts_up {
                    verdict
                } else {
                    // Without a known loss a jump of the ids is none.
                    let onwards = matches!(verdict, Verdict::Good | Verdict::Gap { .. });
                    if !(onwards && std::mem::take(&mut trades.may_lack)) {
                        missing = None;
                    }
                    trades.recent.judge(id)
                }
            }
            None => match &tick.trade_id {
                _ if counts_up => {
                    tick.ts_event.map_or(Verdict::Good, |ns| trades.covered.judge(ns))
                }
                Some(TradeId::Text(text)) => {
                    let mut hash = FxHasher::default();
                    // On a chain a trade may move to another block, and be another one there.
                    (text, tick.seq).hash(&mut hash);
                    (tick.price.to_bits(), tick.size.to_bits()).hash(&mut hash);
                    trades.recent.judge(hash.finish())
                }
                _ => Verdict::Good,
            },
        };
        let verdict = if told { Verdict::Good } else { verdict };
        if let Some(ids) = missing {
            self.want_fill(at, tick.channel, ids, tick.ts_event);
        }
        let trades = &mut self.followed[at].trades;
        trades.reconnected[tick.channel as usize] &= tick.flags & (row::REST | row::SNAPSHOT) != 0;
        if let Some(ns) = tick.ts_event {
            trades.last = Some((ns, tick.price));
            trades.newest_ns = trades.newest_ns.max(ns);
        }
        // A late one fills a hole: it is news unless REST filled that before.
        let repeated = verdict == Verdict::Duplicate || (verdict == Verdict::Late && filled);
        if self.leaves_out(repeated) {
            return;
        }
        // A snapshot repeats what was seen before a reconnect; that is no news.
        let flags = match verdict {
            Verdict::Duplicate if snapshot || id.is_none() => row::DUPLICATE,
            _ => self.judge(at, tick.channel, verdict, id),
        };
        // Of a trade that was had by REST before the stream brought it, that one counts.
        let flags = if filled { flags | row::DUPLICATE } else { flags };
        let channel = tick.channel;
        let header = self.push_trade(at, tick, flags);
        self.meter(at, channel, &header, verdict, 1);
    }

    /// Write a trade, with flags besides its own.
    pub(super) fn push_trade(&mut self, at: usize, tick: TradeTick, flags: u32) -> Header {
        let header = self.header(Some(at), tick.ts_event, tick.ts_sent, tick.flags | flags);
        let TradeTick { price, size, side, trade_id, seq, conditions, .. } = tick;
        let trade = Trade { header, price, size, side, trade_id, seq, conditions };
        self.rows.trades.push_back(trade);
        header
    }

    /// A new connection, or one that lost messages: where only that tells, trades may be missing.
    pub fn doubt_trades(&mut self) {
        self.followed.iter_mut().for_each(|followed| followed.trades.may_lack = true);
    }

    /// A new connection was opened: the venue may have begun to count anew.
    pub fn expect_restart(&mut self) {
        for followed in &mut self.followed {
            followed.quote_seq.reconnect();
            followed.trades.reconnected = [true; CHANNELS];
        }
    }

    /// The venue told that trades up to this id have happened: those that have not come are lost.
    pub fn trades_reached(&mut self, raw_symbol: &str, id: u64) {
        let Some(at) = self.followed_as(raw_symbol) else { return };
        let (followed, channel) = (&mut self.followed[at], Channel::Trade);
        if let Verdict::Gap { expected } = followed.trades.ids[channel as usize].reach(id) {
            followed.meters[channel as usize].gaps += 1;
            let detail = Some(format!("trade {id} was told of and did not come"));
            let next = id.saturating_add(1);
            let numbers = [Some(expected), None, Some(next - expected)];
            self.report(at, channel, "gap", detail, numbers);
            self.want_fill(at, channel, [expected, next], None);
        }
    }
}
