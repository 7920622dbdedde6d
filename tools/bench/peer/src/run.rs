// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Carrying out a script on the crate; the same as ours/run.c.

use std::sync::Arc;

use kvbm_logical::SequenceHash;
use kvbm_logical::blocks::{BlockError, CompleteBlock, ImmutableBlock, MutableBlock, WeakBlock};

use crate::journal::Journal;
use crate::manager::{Attributes, BLOCK_SIZE, Manager, Tier, create};
use crate::script::Script;

/// Lists first, so that guards go before their manager does.
struct Run<'a> {
    mutables: Vec<MutableBlock<Tier>>,
    staged: Vec<CompleteBlock<Tier>>,
    immutables: Vec<ImmutableBlock<Tier>>,
    weak: Vec<WeakBlock<Tier>>,
    manager: Arc<Manager>,
    script: &'a mut Script,
    journal: &'a mut Journal,
}

/// Takes guards out of a list; the last one moves to the place of each.
fn take<T>(list: &mut Vec<T>, numbers: &[usize], from: usize, step: usize) -> Vec<T> {
    let mut taken = Vec::new();
    for pick in numbers.iter().skip(from).step_by(step) {
        if list.is_empty() {
            break;
        }
        let at = pick % list.len();
        taken.push(list.swap_remove(at));
    }
    taken
}

/// The first ones of a list, until it is that short.
fn limit<T>(list: &mut Vec<T>, length: usize) {
    let excess = list.len().saturating_sub(length);
    drop(list.drain(..excess));
}

fn stage(block: MutableBlock<Tier>, hash: SequenceHash) -> CompleteBlock<Tier> {
    block.stage(hash, BLOCK_SIZE).expect("the right block size")
}

fn number(script: &Script, at: usize) -> Result<usize, String> {
    let number = script.numbers.get(at).copied();
    number.ok_or_else(|| format!("script: {}", script.line))
}

impl Run<'_> {
    fn number(&self, at: usize) -> Result<usize, String> {
        number(self.script, at)
    }

    fn every(&self, from: usize, step: usize) -> Vec<usize> {
        self.script
            .numbers
            .iter()
            .skip(from)
            .step_by(step)
            .copied()
            .collect()
    }

    fn hashes(&self, from: usize, step: usize) -> Vec<SequenceHash> {
        let nodes = self.script.numbers.iter().skip(from).step_by(step);
        nodes.map(|node| self.script.hashes[*node]).collect()
    }

    fn path(&self) -> Result<Vec<SequenceHash>, String> {
        let mut at = Some(self.number(0)?);
        let mut path = Vec::new();
        while let Some(node) = at {
            path.push(self.script.hashes[node]);
            at = self.script.parents[node];
        }
        path.reverse();
        Ok(path)
    }

    fn log_ids<T>(&mut self, guards: &[T], id: impl Fn(&T) -> usize) {
        for guard in guards {
            self.journal.add(id(guard) as u64);
        }
    }

    fn log_found(&mut self, guard: &Option<ImmutableBlock<Tier>>) {
        let value = guard
            .as_ref()
            .map_or(0, |guard| guard.block_id() as u64 + 1);
        self.journal.add(value);
    }

    fn allocate(&mut self, count: usize) -> Option<Vec<MutableBlock<Tier>>> {
        let result = self.manager.allocate_blocks_with_evictions(count);
        self.journal.word(if result.is_some() {
            "allocated"
        } else {
            "refused"
        });
        self.journal.add(result.is_some() as u64);
        let (blocks, evicted) = result?;
        self.log_ids(&blocks, MutableBlock::block_id);
        self.journal.word("evicted");
        self.journal.add(evicted.len() as u64);
        for hash in evicted {
            self.journal.hash(hash);
        }
        Some(blocks)
    }

    fn register(&mut self, mut blocks: Vec<CompleteBlock<Tier>>) {
        let registered = if blocks.len() == 1 {
            vec![self.manager.register_block(blocks.remove(0))]
        } else {
            self.manager.register_blocks(blocks)
        };
        self.log_ids(&registered, ImmutableBlock::block_id);
        self.immutables.extend(registered);
    }

    fn fill(&mut self, blocks: Vec<MutableBlock<Tier>>, hashes: &[SequenceHash]) {
        self.journal.word("registered");
        let blocks = blocks.into_iter().zip(hashes);
        let blocks = blocks.map(|(block, hash)| stage(block, *hash)).collect();
        self.register(blocks);
    }

    fn match_blocks(&mut self, hashes: &[SequenceHash]) -> Vec<ImmutableBlock<Tier>> {
        let found = self.manager.match_blocks(hashes);
        self.journal.word("matched");
        self.journal.add(found.len() as u64);
        self.log_ids(&found, ImmutableBlock::block_id);
        found
    }

    fn op_new(&mut self) -> Result<(), String> {
        self.mutables.clear();
        self.staged.clear();
        self.immutables.clear();
        self.weak.clear();
        self.manager = Arc::new(create(&Attributes {
            policy: &self.script.policy,
            blocks: self.number(0)?,
            reject: self.script.reject,
            reset_on_release: self.number(1)? != 0,
            tracker: true,
        })?);
        Ok(())
    }

    fn op_stage(&mut self) {
        let blocks = take(&mut self.mutables, &self.script.numbers, 0, 2);
        let hashes = self.hashes(1, 2);
        self.log_ids(&blocks, MutableBlock::block_id);
        for (block, hash) in blocks.into_iter().zip(hashes) {
            self.staged.push(stage(block, hash));
        }
    }

    fn op_stage_wrong(&mut self) {
        let hashes = self.hashes(1, 2);
        let Some(block) = take(&mut self.mutables, &self.script.numbers, 0, 2).pop() else {
            return;
        };
        match block.stage(hashes[0], 2 * BLOCK_SIZE) {
            Ok(_) => {
                self.journal.word("accepted");
                self.journal.add(0);
            }
            Err(BlockError::BlockSizeMismatch { block, .. }) => {
                self.journal.word("refused");
                self.journal.add(1);
                self.journal.add(block.block_id() as u64);
                self.mutables.push(block);
            }
        }
    }

    fn op_fill(&mut self) -> Result<(), String> {
        let next = self.number(0)?;
        let blocks = take(&mut self.mutables, &self.script.numbers, 1, 2);
        let hashes = self.hashes(2, 2);
        self.fill(blocks, &hashes);
        if next != 0
            && let Some(blocks) = self.allocate(next)
        {
            self.mutables.extend(blocks);
        }
        Ok(())
    }

    fn op_scattered(&mut self) {
        for found in self.manager.match_blocks_scattered(&self.hashes(0, 1)) {
            self.log_found(&found);
            self.immutables.extend(found);
        }
    }

    fn op_scan(&mut self) -> Result<(), String> {
        let hashes = self.hashes(1, 1);
        let mut found = self.manager.scan_matches(&hashes, self.number(0)? != 0);
        /* A map: the first place of a hash gets the guard. */
        for hash in hashes {
            let guard = found.remove(&hash);
            self.log_found(&guard);
            self.immutables.extend(guard);
        }
        Ok(())
    }

    fn op_request(&mut self) -> Result<(), String> {
        let path = self.path()?;
        let found = self.match_blocks(&path);
        let hits = found.len();
        if let Some(blocks) = self.allocate(path.len() - hits) {
            self.immutables.extend(found);
            self.fill(blocks, &path[hits..]);
        }
        Ok(())
    }

    fn op_acquire(&mut self) -> Result<(), String> {
        if self.manager.available_blocks() < self.path()?.len() {
            self.journal.word("skipped");
            return Ok(());
        }
        self.op_request()
    }

    fn op_clone(&mut self) {
        let count = self.immutables.len();
        /* Appended only afterwards: picks are of the list as it was. */
        let clones: Vec<_> = (0..self.script.numbers.len())
            .filter(|_| count > 0)
            .map(|i| self.immutables[self.script.numbers[i] % count].clone())
            .collect();
        self.log_ids(&clones, ImmutableBlock::block_id);
        self.immutables.extend(clones);
    }

    fn op_downgrade(&mut self) {
        for pick in self.every(0, 1) {
            if !self.immutables.is_empty() {
                let at = pick % self.immutables.len();
                self.weak.push(self.immutables[at].downgrade());
            }
        }
    }

    fn op_upgrade(&mut self) {
        for pick in self.every(0, 1) {
            if !self.weak.is_empty() {
                let guard = self.weak[pick % self.weak.len()].upgrade();
                self.log_found(&guard);
                self.immutables.extend(guard);
            }
        }
    }

    fn op_reset_flag(&mut self) -> Result<(), String> {
        let value = self.number(0)? != 0;
        for pick in self.every(1, 1) {
            if !self.immutables.is_empty() {
                let at = pick % self.immutables.len();
                self.immutables[at].set_evict_on_reset(value);
            }
        }
        Ok(())
    }

    fn op_pop(&mut self) -> Result<(), String> {
        for _ in 0..self.number(0)? {
            drop(self.immutables.pop());
        }
        Ok(())
    }

    fn op_cut(&mut self) -> Result<(), String> {
        let from = self.immutables.len().saturating_sub(self.number(0)?);
        drop(self.immutables.drain(from..));
        Ok(())
    }

    fn op_drain(&mut self) -> usize {
        /* An error only tells that blocks are in use; it is drained all the same. */
        let _ = self.manager.reset_inactive_pool();
        let reset = self.manager.metrics().snapshot().reset_pool_size as usize;
        self.journal.word("reset");
        self.journal.add(reset as u64);
        reset
    }

    fn op_drain_sorted(&mut self) {
        let reset = self.op_drain();
        let mut blocks = self.manager.allocate_blocks(reset).expect("they are there");
        blocks.sort_by_key(MutableBlock::block_id);
        drop(blocks);
    }

    fn op_presence(&mut self) {
        let hashes = self.hashes(0, 1);
        let present = self
            .manager
            .block_registry()
            .check_presence::<Tier>(&hashes);
        for (_, there) in present {
            self.journal.add(there as u64);
        }
    }

    fn op_frequency(&mut self) -> Result<(), String> {
        let touch = self.number(0)? != 0;
        for hash in self.hashes(1, 1) {
            let registry = self.manager.block_registry();
            if touch {
                registry.touch(hash);
            }
            let count = registry.count(hash);
            self.journal.add(count as u64);
        }
        Ok(())
    }

    fn op_use_count(&mut self) {
        for pick in self.every(0, 1) {
            if !self.immutables.is_empty() {
                let at = pick % self.immutables.len();
                self.journal.add(self.immutables[at].use_count() as u64);
            }
        }
    }

    fn op_counters(&mut self) {
        let m = self.manager.metrics().snapshot();
        let values = [
            m.allocations,
            m.allocations_from_reset,
            m.evictions,
            m.registrations,
            m.duplicate_blocks,
            m.registration_dedup,
            m.stagings,
            m.match_hashes_requested,
            m.match_blocks_returned,
            m.scan_hashes_requested,
            m.scan_blocks_returned,
            m.inflight_mutable as u64,
            m.inflight_immutable as u64,
            m.reset_pool_size as u64,
            m.inactive_pool_size as u64,
        ];
        for value in values {
            self.journal.add(value);
        }
    }

    fn run_op(&mut self, letter: char) -> Result<(), String> {
        match letter {
            'N' => self.op_new()?,
            'A' => {
                let count = self.number(0)?;
                let blocks = self.allocate(count);
                self.mutables.extend(blocks.into_iter().flatten());
            }
            'S' => self.op_stage(),
            'w' => self.op_stage_wrong(),
            'U' => {
                let blocks = take(&mut self.staged, &self.script.numbers, 0, 1);
                self.log_ids(&blocks, CompleteBlock::block_id);
                self.mutables
                    .extend(blocks.into_iter().map(CompleteBlock::reset));
            }
            'R' => {
                let blocks = take(&mut self.staged, &self.script.numbers, 0, 1);
                self.register(blocks);
            }
            'F' => self.op_fill()?,
            'm' => {
                let hashes = self.hashes(0, 1);
                let found = self.match_blocks(&hashes);
                self.immutables.extend(found);
            }
            'M' => {
                let path = self.path()?;
                let found = self.match_blocks(&path);
                self.immutables.extend(found);
            }
            'x' => self.op_scattered(),
            'c' => self.op_scan()?,
            'Q' => self.op_request()?,
            'E' => self.op_acquire()?,
            'K' => self.op_clone(),
            'D' => self.op_downgrade(),
            'G' => self.op_upgrade(),
            'z' => self.op_reset_flag()?,
            '1' => drop(take(&mut self.mutables, &self.script.numbers, 0, 1)),
            '2' => drop(take(&mut self.staged, &self.script.numbers, 0, 1)),
            '3' => drop(take(&mut self.immutables, &self.script.numbers, 0, 1)),
            '4' => drop(take(&mut self.weak, &self.script.numbers, 0, 1)),
            't' => self.op_pop()?,
            'T' => self.op_cut()?,
            '5' => limit(&mut self.mutables, number(self.script, 0)?),
            '6' => limit(&mut self.staged, number(self.script, 0)?),
            '7' => limit(&mut self.immutables, number(self.script, 0)?),
            '8' => limit(&mut self.weak, number(self.script, 0)?),
            'X' => {
                self.op_drain();
            }
            'Y' => self.op_drain_sorted(),
            'p' => self.op_presence(),
            'f' => self.op_frequency()?,
            'u' => self.op_use_count(),
            'v' => self.op_counters(),
            _ => {
                return Err(format!(
                    "operation {}: {}",
                    self.journal.op, self.script.line
                ));
            }
        }
        Ok(())
    }
}

/// Races and roll-backs that one thread cannot have.
fn check_audit(manager: &Manager) -> Result<(), String> {
    let m = manager.metrics().snapshot();
    let audit = m.eager_primary_to_inactive_total
        + m.allocate_atomic_rollback_total
        + m.release_primary_noop_total
        + m.release_duplicate_noop_total;
    if audit == 0 {
        Ok(())
    } else {
        Err(format!("audit counters: {m:?}"))
    }
}

pub fn run(script: &mut Script, journal: &mut Journal) -> Result<(), String> {
    let first = Attributes {
        policy: &script.policy,
        blocks: 1,
        reject: script.reject,
        reset_on_release: false,
        tracker: true,
    };
    let mut run = Run {
        mutables: Vec::new(),
        staged: Vec::new(),
        immutables: Vec::new(),
        weak: Vec::new(),
        manager: Arc::new(create(&first)?),
        script,
        journal,
    };
    while let Some(letter) = run.script.next()? {
        if letter == 'N' {
            check_audit(&run.manager)?;
        }
        run.journal.begin(&run.script.line);
        run.run_op(letter)?;
        run.journal.word("available");
        run.journal.add(run.manager.available_blocks() as u64);
        run.journal.end().map_err(|error| error.to_string())?;
    }
    check_audit(&run.manager)
}
