//! The chain as its node tells of it: how far it was read, and what of it was replaced.

use std::collections::{BTreeMap, HashSet};

use super::wire::WireBlock;
use super::{abi, wire};

const SECOND_NS: i64 = 1_000_000_000;
/// No chain has come so far; a number beyond it is a node's mistake.
const NUMBER_MAX: u64 = 1 << 48;
/// Blocks remembered behind the head.
const BLOCKS_KEPT: u64 = 64;
/// So many blocks are read again when one was replaced.
const REORG_BLOCKS: u64 = 8;

#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) number: u64,
    hash: String,
    parent: String,
    at_s: u64,
}

impl Block {
    pub(super) fn read(wire: &WireBlock) -> Option<Block> {
        let number = abi::quantity(wire.number).filter(|number| *number <= NUMBER_MAX)?;
        let at_s = abi::quantity(wire.timestamp)?;
        let (hash, parent) = (wire.hash.into(), wire.parent_hash.into());
        Some(Block { number, hash, parent, at_s })
    }
}

/// A block that is not what it was.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Replaced {
    pub(super) number: u64,
    pub(super) was: String,
    pub(super) is: String,
}

/// What a head is to the ones before it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head {
    New,
    Known,
    /// Lower than one that was told of: another node answered, which is behind.
    Behind {
        expected: u64,
        told: bool,
    },
}

#[derive(Debug, Default)]
pub(super) struct Chain {
    head: Option<u64>,
    behind_told: bool,
    /// Hash and time of each block.
    blocks: BTreeMap<u64, (String, u64)>,
    first: u64,
    /// The first block whose logs are still to be had.
    pub(super) logs_from: u64,
    /// Logs that became trades, by block.
    traded: BTreeMap<u64, HashSet<String>>,
}

impl Chain {
    /// Take a block as the latest; also tells of a block that it shows to be replaced.
    pub(super) fn take_head(&mut self, block: &Block) -> (Head, Option<Replaced>) {
        match self.head {
            None => (self.first, self.logs_from) = (block.number, block.number),
            Some(head) if block.number < head => {
                let told = std::mem::replace(&mut self.behind_told, true);
                return (Head::Behind { expected: head, told }, None);
            }
            Some(_) => {}
        }
        self.behind_told = false;
        let replaced = self.learn(block);
        if self.head == Some(block.number) && replaced.is_none() {
            return (Head::Known, None);
        }
        self.head = Some(block.number);
        let kept_from = block.number.saturating_sub(BLOCKS_KEPT);
        self.blocks = self.blocks.split_off(&kept_from);
        self.traded = self.traded.split_off(&kept_from);
        (Head::New, replaced)
    }

    /// Remember a block; tells of one that it contradicts, itself or its parent.
    pub(super) fn learn(&mut self, block: &Block) -> Option<Replaced> {
        let parent = block.number.checked_sub(1).map(|number| (number, &block.parent));
        let told = [Some((block.number, &block.hash)), parent];
        let replaced = told.into_iter().flatten().find_map(|(number, is)| {
            let was = self.blocks.get(&number).map(|(hash, _)| hash).filter(|was| *was != is)?;
            Some(Replaced { number, was: was.clone(), is: is.clone() })
        });
        if let Some(replaced) = &replaced {
            // How deep it goes is not known: what is remembered may be of the lost branch.
            self.blocks.clear();
            let again = replaced.number.saturating_sub(REORG_BLOCKS).max(self.first);
            self.logs_from = self.logs_from.min(again);
        }
        self.blocks.insert(block.number, (block.hash.clone(), block.at_s));
        replaced
    }

    pub(super) fn head(&self) -> Option<u64> {
        self.head
    }

    pub(super) fn knows(&self, number: u64) -> bool {
        self.blocks.contains_key(&number)
    }

    /// When a block was made, ns since 1970.
    pub(super) fn time_ns(&self, number: u64) -> Option<i64> {
        let (_, at_s) = self.blocks.get(&number)?;
        i64::try_from(*at_s).ok()?.checked_mul(SECOND_NS)
    }

    /// Note that the logs of these blocks have come.
    pub(super) fn logs_came(&mut self, from: u64, to: u64) {
        if (from..=to).contains(&self.logs_from) {
            self.logs_from = to.saturating_add(1);
        }
    }

    /// Whether a log has not come before; one of a replaced block is another one.
    pub(super) fn is_news(&mut self, number: u64, log: &wire::WireLog) -> bool {
        if self.traded.len() as u64 > BLOCKS_KEPT {
            self.traded.pop_first();
        }
        let place = format!("{}:{}@{}", log.transaction_hash, log.log_index, log.block_hash);
        self.traded.entry(number).or_default().insert(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(number: u64, hash: &str, parent: &str) -> Block {
        Block { number, hash: hash.into(), parent: parent.into(), at_s: number }
    }

    #[test]
    fn a_lower_head_is_ignored_and_told_once() {
        let mut chain = Chain::default();
        let behind = |told| (Head::Behind { expected: 9, told }, None);
        assert_eq!(chain.take_head(&block(9, "i", "h")), (Head::New, None));
        assert_eq!(chain.take_head(&block(9, "i", "h")), (Head::Known, None));
        assert_eq!(chain.take_head(&block(7, "g", "f")), behind(false));
        assert_eq!(chain.take_head(&block(8, "h", "g")), behind(true));
        assert_eq!(chain.take_head(&block(10, "j", "i")), (Head::New, None));
        assert_eq!(
            chain.take_head(&block(9, "i", "h")).0,
            Head::Behind { expected: 10, told: false }
        );
    }

    #[test]
    fn a_changed_hash_and_a_changed_parent_are_a_replaced_block() {
        let mut chain = Chain::default();
        for (number, hash, parent) in [(1, "a", "0"), (2, "b", "a"), (3, "c", "b")] {
            assert_eq!(chain.take_head(&block(number, hash, parent)), (Head::New, None));
            chain.logs_came(number, number);
        }
        let replaced =
            |number, was: &str, is: &str| Some(Replaced { number, was: was.into(), is: is.into() });
        assert_eq!(chain.take_head(&block(3, "d", "b")), (Head::New, replaced(3, "c", "d")));
        assert_eq!((chain.logs_from, chain.time_ns(3)), (1, Some(3_000_000_000)));
        assert_eq!(chain.take_head(&block(4, "f", "e")), (Head::New, replaced(3, "d", "e")));
    }
}
