//! Trades as a market takes them: what came before is told by number or time, what is missing too.

use super::Market;
use crate::quality::Verdict;
use crate::row::{self, Header, Trade, TradeId};
use crate::subscription::Channel;
use crate::tick::TradeTick;

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
        let followed = &mut self.followed[at];
        let known = match &tick.trade_id {
            Some(TradeId::Number(id)) if self.profile.trade_ids_count_up => {
                let ids = &mut followed.trade_ids[tick.channel as usize];
                let streamed = tick.ts_event.is_some_and(|ns| followed.covered.has_passed(ns));
                if streamed {
                    // Its number is news, though the trade is not: the next is held against it.
                    ids.judge(*id);
                }
                streamed || ids.has_passed(*id)
            }
            Some(TradeId::Number(id)) => {
                let ids = &followed.trade_ids[tick.channel as usize];
                followed.recent_trades.knows(*id) || ids.is_filled(*id)
            }
            _ => false,
        };
        if !known {
            if let Some(ts_event) = tick.ts_event {
                self.followed[at].covered.cover(ts_event);
            }
            self.trade(raw_symbol, TradeTick { flags: tick.flags | row::REST, ..tick });
        }
    }

    /// Take a trade of the stream, judged by its number, or else by its time.
    pub fn trade(&mut self, raw_symbol: &str, tick: TradeTick) {
        let at = self.follow(raw_symbol);
        let followed = &mut self.followed[at];
        let id = match &tick.trade_id {
            Some(TradeId::Number(id)) => Some(*id),
            _ => None,
        };
        let snapshot = tick.flags & row::SNAPSHOT != 0;
        // What its connection's number told already is not told once more by its own.
        let told = tick.flags & (row::DUPLICATE | row::LATE) != 0;
        let counts_up = self.profile.trade_ids_count_up;
        let ids = &mut followed.trade_ids[tick.channel as usize];
        let filled = id.is_some_and(|id| ids.is_filled(id));
        let mut missing = None;
        let verdict = match id {
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
                    if !(onwards && std::mem::take(&mut followed.may_lack_trades)) {
                        missing = None;
                    }
                    followed.recent_trades.judge(id)
                }
            }
            None if counts_up => {
                tick.ts_event.map_or(Verdict::Good, |ns| followed.covered.judge(ns))
            }
            None => Verdict::Good,
        };
        let verdict = if told { Verdict::Good } else { verdict };
        if let Some(ids) = missing {
            self.want_fill(at, tick.channel, ids, tick.ts_event);
        }
        self.followed[at].traded_ns = tick.ts_event.or(self.followed[at].traded_ns);
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
        self.followed.iter_mut().for_each(|followed| followed.may_lack_trades = true);
    }

    /// The venue told that trades up to this id have happened: those that have not come are lost.
    pub fn trades_reached(&mut self, raw_symbol: &str, id: u64) {
        let Some(at) = self.followed_as(raw_symbol) else { return };
        let (followed, channel) = (&mut self.followed[at], Channel::Trade);
        if let Verdict::Gap { expected } = followed.trade_ids[channel as usize].reach(id) {
            followed.meters[channel as usize].gaps += 1;
            let detail = Some(format!("trade {id} was told of and did not come"));
            let numbers = [Some(expected), None, Some(id - expected + 1)];
            self.report(at, channel, "gap", detail, numbers);
            self.want_fill(at, channel, [expected, id + 1], None);
        }
    }
}
