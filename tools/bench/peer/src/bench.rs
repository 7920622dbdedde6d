// SPDX-License-Identifier: GPL-2.0 OR MIT
//! One measurement at a time, by the orders of ours/bench.h. A guard of the crate
//! goes back when it is dropped, and that is timed where ours times a release.

use std::io::{self, BufRead, Write};
use std::time::Instant;

use kvbm_logical::SequenceHash;
use kvbm_logical::blocks::{CompleteBlock, ImmutableBlock, MutableBlock};

use crate::decode::Decode;
use crate::groups;
use crate::journal::mix64;
use crate::manager::{Attributes, BLOCK_SIZE, Manager, Tier, create};

/// Blocks that are prepared for between two looks at the clock.
pub const BATCH_BLOCKS: usize = 32768;
/// Blocks that are held between two looks.
pub const HELD_BLOCKS: usize = 4096;
/// Blocks registered in one call while a pool is filled.
pub const FILL_BLOCKS: usize = 4096;
/// Chains from here on are in no pool.
pub const ABSENT_CHAIN: u64 = 1 << 40;

pub type Guards = Vec<ImmutableBlock<Tier>>;

/// One cell and what its group needs; guards before their manager.
pub struct Bench {
    pub held: Vec<Guards>,
    pub decode: Option<Decode>,
    pub manager: Manager,
    pub n: usize,
    pub pool: usize,
    pub chains: usize,
    pub turn: u64,
    pub fresh: u64,
    pub digest: u64,
    group: String,
    ns: u64,
    blocks: usize,
}

pub fn chain_hash(c: u64, k: u64) -> SequenceHash {
    let current = |k| mix64(c << 16 | k);
    SequenceHash::new(current(k), (k > 0).then(|| current(k - 1)), k)
}

pub fn chain_hashes(c: u64, n: usize) -> Vec<SequenceHash> {
    (0..n as u64).map(|k| chain_hash(c, k)).collect()
}

pub fn stage_all(
    blocks: Vec<MutableBlock<Tier>>,
    hashes: &[SequenceHash],
) -> Vec<CompleteBlock<Tier>> {
    blocks
        .into_iter()
        .zip(hashes)
        .map(|(block, hash)| match block.stage(*hash, BLOCK_SIZE) {
            Ok(block) => block,
            Err(_) => unreachable!("the block size is right"),
        })
        .collect()
}

impl Bench {
    fn new(
        group: &str,
        policy: &str,
        n: usize,
        pool: usize,
        tracker: bool,
    ) -> Result<Self, String> {
        if n == 0 || n > pool || n > FILL_BLOCKS {
            return Err("bad order".to_string());
        }
        let mut bench = Bench {
            held: Vec::new(),
            decode: None,
            manager: create(&Attributes {
                policy,
                blocks: pool,
                reject: false,
                reset_on_release: false,
                tracker,
            })?,
            n,
            pool,
            chains: pool / n,
            turn: 0,
            fresh: 0,
            digest: 0,
            group: group.to_string(),
            ns: 0,
            blocks: 0,
        };
        groups::begin(&mut bench, group)?;
        Ok(bench)
    }

    pub fn chain_of_turn(&self, turn: u64) -> u64 {
        turn.wrapping_mul(0x9e37_79b1) % self.chains as u64
    }

    pub fn digest_add(&mut self, value: u64) {
        self.digest = mix64(self.digest ^ value);
    }

    pub fn digest_ids(&mut self, guards: &[ImmutableBlock<Tier>]) {
        for guard in guards {
            self.digest_add(guard.block_id() as u64);
        }
    }

    pub fn clock_stop(&mut self, started: Instant, blocks: usize) {
        self.ns += started.elapsed().as_nanos() as u64;
        self.blocks += blocks;
    }

    pub fn make_blocks(&self, hashes: &[SequenceHash]) -> Result<Guards, String> {
        let blocks = self
            .manager
            .allocate_blocks(hashes.len())
            .ok_or("no blocks")?;
        Ok(self.manager.register_blocks(stage_all(blocks, hashes)))
    }

    pub fn fill_with_chains(&mut self, hold: bool) -> Result<(), String> {
        let each = if self.n < FILL_BLOCKS {
            FILL_BLOCKS / self.n
        } else {
            1
        };
        let mut c = 0;
        while c < self.chains {
            let count = each.min(self.chains - c);
            let hashes: Vec<_> = (c..c + count)
                .flat_map(|c| chain_hashes(c as u64, self.n))
                .collect();
            let guards = self.make_blocks(&hashes)?;
            if hold {
                self.held.push(guards);
            }
            c += count;
        }
        self.fresh = self.chains as u64;
        Ok(())
    }

    fn sample(&mut self, mut iterations: u64) -> Result<(), String> {
        let group = self.group.clone();
        self.ns = 0;
        self.blocks = 0;
        while iterations > 0 {
            iterations -= groups::batch(self, &group, iterations)?;
        }
        Ok(())
    }

    fn end(&mut self) -> u64 {
        let m = self.manager.metrics().snapshot();
        let values = [
            m.allocations,
            m.evictions,
            m.registrations,
            m.match_hashes_requested,
            m.match_blocks_returned,
            m.scan_blocks_returned,
            m.inflight_immutable as u64,
            m.inactive_pool_size as u64,
        ];
        for value in values {
            self.digest_add(value);
        }
        self.digest
    }
}

fn order_cell(words: &[&str], tracker: bool) -> Result<Bench, String> {
    let [group, policy, n, pool] = words else {
        return Err("bad order".to_string());
    };
    let n = n.parse().map_err(|_| "bad order")?;
    let pool = pool.parse().map_err(|_| "bad order")?;
    Bench::new(group, policy, n, pool, tracker)
}

fn obey(bench: &mut Option<Bench>, line: &str, tracker: bool) -> Result<String, String> {
    let words: Vec<_> = line.split_ascii_whitespace().collect();
    match words.as_slice() {
        ["cell", arguments @ ..] => {
            *bench = None;
            match order_cell(arguments, tracker) {
                Ok(new) => *bench = Some(new),
                Err(error) => return Ok(format!("none {error}")),
            }
            Ok("ready".to_string())
        }
        ["sample", iterations] => {
            let bench = bench.as_mut().ok_or("sample: no cell")?;
            bench.sample(iterations.parse().map_err(|_| "bad order")?)?;
            Ok(format!("ns {} blocks {}", bench.ns, bench.blocks))
        }
        ["end"] => {
            let digest = bench.take().map_or(0, |mut bench| bench.end());
            Ok(format!("digest {digest:016x}"))
        }
        _ => Err(format!("order: {line}")),
    }
}

pub fn run(tracker: bool) -> Result<(), String> {
    let mut bench = None;
    for line in io::stdin().lock().lines() {
        let line = line.map_err(|error| error.to_string())?;
        println!("{}", obey(&mut bench, &line, tracker)?);
        io::stdout().flush().map_err(|error| error.to_string())?;
    }
    Ok(())
}
