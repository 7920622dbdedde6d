// SPDX-License-Identifier: GPL-2.0 OR MIT
//! What is measured; the same as ours/groups.c and ours/threads.c.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use kvbm_logical::SequenceHash;

use crate::bench::{
    ABSENT_CHAIN, BATCH_BLOCKS, Bench, FILL_BLOCKS, HELD_BLOCKS, chain_hash, chain_hashes,
};
use crate::decode;
use crate::journal::mix64;

const WORKERS: usize = 2;

pub fn begin(b: &mut Bench, group: &str) -> Result<(), String> {
    match group {
        "match_blocks_active_hit" => b.fill_with_chains(true),
        "match_blocks_inactive_hit"
        | "bulk_drop"
        | "allocate_evict"
        | "allocate_stage_register"
        | "miss"
        | "scattered"
        | "scan" => b.fill_with_chains(false),
        "two_threads" if b.chains >= WORKERS => b.fill_with_chains(false),
        "fan_out" => fill_with_children(b),
        "decode_step" => decode::begin(b),
        _ => Err(format!("no such operation: {group}")),
    }
}

pub fn batch(b: &mut Bench, group: &str, iterations: u64) -> Result<u64, String> {
    let count = match group {
        "match_blocks_active_hit" | "match_blocks_inactive_hit" => matches(b, iterations),
        "bulk_drop" => drops(b, iterations),
        "allocate_evict" => allocations(b, iterations),
        "allocate_stage_register" => fills(b, iterations),
        "miss" => misses(b, iterations),
        "scattered" => halves(b, iterations, false),
        "scan" => halves(b, iterations, true),
        "fan_out" => children(b, iterations),
        "two_threads" => threads(b, iterations),
        "decode_step" => decode::step(b),
        _ => Err(format!("no such operation: {group}")),
    }?;
    Ok(count as u64)
}

fn smaller(iterations: u64, most: usize) -> usize {
    iterations.min(most as u64) as usize
}

/// The hashes of the chains of the next turns.
fn prepare(b: &Bench, count: usize) -> Vec<Vec<SequenceHash>> {
    (0..count as u64)
        .map(|i| chain_hashes(b.chain_of_turn(b.turn + i), b.n))
        .collect()
}

fn expect(found: usize, wanted: usize) -> Result<(), String> {
    if found == wanted {
        Ok(())
    } else {
        Err(format!("{found} hits instead of {wanted}"))
    }
}

/// One more match, not timed, to see that both sides find the same blocks.
fn look(b: &mut Bench) {
    let guards = b
        .manager
        .match_blocks(&chain_hashes(b.chain_of_turn(b.turn), b.n));
    b.digest_ids(&guards);
}

fn matches(b: &mut Bench, iterations: u64) -> Result<usize, String> {
    let count = smaller(iterations, BATCH_BLOCKS / b.n);
    let chains = prepare(b, count);
    let mut hits = 0;

    let started = Instant::now();
    for chain in &chains {
        hits += black_box(b.manager.match_blocks(chain)).len();
    }
    b.clock_stop(started, count * b.n);
    b.turn += count as u64;
    expect(hits, count * b.n)?;
    look(b);
    Ok(count)
}

fn drops(b: &mut Bench, iterations: u64) -> Result<usize, String> {
    let count = smaller(iterations, (HELD_BLOCKS / b.n).min(b.chains));
    let chains = prepare(b, count);
    let held: Vec<_> = chains
        .iter()
        .map(|chain| b.manager.match_blocks(chain))
        .collect();

    expect(held.iter().map(Vec::len).sum(), count * b.n)?;
    let started = Instant::now();
    for guards in held {
        drop(black_box(guards));
    }
    b.clock_stop(started, count * b.n);
    b.turn += count as u64;
    look(b);
    Ok(count)
}

/// Half of the pool at most is held at a time.
fn holding(b: &Bench, iterations: u64) -> usize {
    smaller(iterations, (HELD_BLOCKS / b.n).min((b.chains / 2).max(1)))
}

fn prepare_fresh(b: &mut Bench, count: usize) -> Vec<Vec<SequenceHash>> {
    let first = b.fresh;
    b.fresh += count as u64;
    (first..b.fresh)
        .map(|chain| chain_hashes(chain, b.n))
        .collect()
}

fn allocations(b: &mut Bench, iterations: u64) -> Result<usize, String> {
    let count = holding(b, iterations);
    let chains = prepare_fresh(b, count);
    let mut allocated = Vec::with_capacity(count);

    let started = Instant::now();
    for _ in 0..count {
        allocated.push(b.manager.allocate_blocks_with_evictions(b.n));
    }
    b.clock_stop(started, count * b.n);
    let mut held = Vec::with_capacity(count);
    for (blocks, chain) in allocated.into_iter().zip(&chains) {
        let (blocks, _) = blocks.ok_or("no blocks")?;
        let guards = b
            .manager
            .register_blocks(crate::bench::stage_all(blocks, chain));
        b.digest_ids(&guards);
        held.push(guards);
    }
    Ok(count)
}

fn fills(b: &mut Bench, iterations: u64) -> Result<usize, String> {
    let count = holding(b, iterations);
    let chains = prepare_fresh(b, count);
    let mut held = Vec::with_capacity(count);

    let started = Instant::now();
    for chain in &chains {
        let (blocks, evicted) = b
            .manager
            .allocate_blocks_with_evictions(b.n)
            .ok_or("no blocks")?;
        black_box(evicted);
        let blocks = crate::bench::stage_all(blocks, chain);
        held.push(b.manager.register_blocks(blocks));
    }
    b.clock_stop(started, count * b.n);
    for guards in &held {
        b.digest_ids(guards);
    }
    Ok(count)
}

fn misses(b: &mut Bench, iterations: u64) -> Result<usize, String> {
    let count = smaller(iterations, BATCH_BLOCKS / b.n);
    let chains: Vec<_> = (0..count as u64)
        .map(|i| chain_hashes(ABSENT_CHAIN + b.turn + i, b.n))
        .collect();
    let mut hits = 0;

    let started = Instant::now();
    for chain in &chains {
        hits += black_box(b.manager.match_blocks(chain)).len();
    }
    b.clock_stop(started, count * b.n);
    b.turn += count as u64;
    expect(hits, 0)?;
    Ok(count)
}

fn halves(b: &mut Bench, iterations: u64, scan: bool) -> Result<usize, String> {
    let count = smaller(iterations, BATCH_BLOCKS / b.n);
    let mut chains = prepare(b, count);
    let mut hits = 0;

    for (i, chain) in chains.iter_mut().enumerate() {
        for k in (1..b.n).step_by(2) {
            chain[k] = chain_hash(ABSENT_CHAIN + b.turn + i as u64, k as u64);
        }
    }
    let started = Instant::now();
    for chain in &chains {
        if scan {
            hits += black_box(b.manager.scan_matches(chain, true)).len();
        } else {
            let found = black_box(b.manager.match_blocks_scattered(chain));
            hits += found.iter().flatten().count();
        }
    }
    b.clock_stop(started, count * b.n);
    b.turn += count as u64;
    expect(hits, count * b.n.div_ceil(2))?;
    look(b);
    Ok(count)
}

fn child_hash(child: u64) -> SequenceHash {
    let root = mix64(ABSENT_CHAIN << 16);
    SequenceHash::new(mix64((ABSENT_CHAIN + 1 + child) << 16), Some(root), 1)
}

/// High fan-out: all blocks but one have the same parent.
fn fill_with_children(b: &mut Bench) -> Result<(), String> {
    for first in (0..b.pool).step_by(FILL_BLOCKS) {
        let last = (first + FILL_BLOCKS).min(b.pool);
        let mut hashes: Vec<_> = (first..last).map(|i| child_hash(i as u64)).collect();
        if first == 0 {
            hashes[0] = chain_hash(ABSENT_CHAIN, 0);
        }
        drop(b.make_blocks(&hashes)?);
    }
    Ok(())
}

fn children(b: &mut Bench, iterations: u64) -> Result<usize, String> {
    let count = smaller(iterations, BATCH_BLOCKS / b.n);
    let hashes: Vec<_> = (0..(count * b.n) as u64)
        .map(|i| child_hash((b.turn + i).wrapping_mul(0x9e37_79b1) % (b.pool as u64 - 1) + 1))
        .collect();
    let mut hits = 0;

    let started = Instant::now();
    for call in hashes.chunks(b.n) {
        let found = black_box(b.manager.match_blocks_scattered(call));
        hits += found.iter().flatten().count();
    }
    b.clock_stop(started, count * b.n);
    b.turn += (count * b.n) as u64;
    expect(hits, count * b.n)?;
    Ok(count)
}

fn threads(b: &mut Bench, iterations: u64) -> Result<usize, String> {
    let count = smaller(iterations, BATCH_BLOCKS / WORKERS / b.n);
    let half = b.chains / WORKERS;
    let work: Vec<Vec<_>> = (0..WORKERS)
        .map(|worker| {
            (0..count as u64)
                .map(|i| {
                    let turn = (b.turn + i).wrapping_mul(0x9e37_79b1) % half as u64;
                    chain_hashes((worker * half) as u64 + turn, b.n)
                })
                .collect()
        })
        .collect();
    let barrier = Barrier::new(WORKERS + 1);
    let manager = &b.manager;

    let (started, hits) = thread::scope(|scope| {
        let workers: Vec<_> = work
            .iter()
            .map(|chains| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    let found = chains.iter().map(|chain| manager.match_blocks(chain).len());
                    found.sum::<usize>()
                })
            })
            .collect();
        let started = Instant::now();
        barrier.wait();
        let hits = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or(0))
            .sum();
        (started, hits)
    });
    b.clock_stop(started, count * b.n * WORKERS);
    b.turn += count as u64;
    expect(hits, count * b.n * WORKERS)?;
    Ok(count)
}
