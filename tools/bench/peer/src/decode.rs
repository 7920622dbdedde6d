// SPDX-License-Identifier: GPL-2.0 OR MIT
//! The mix of an engine that decodes; the same as ours/decode.c.

use std::time::Instant;

use kvbm_logical::SequenceHash;
use kvbm_logical::blocks::{ImmutableBlock, MutableBlock};

use crate::bench::{ABSENT_CHAIN, Bench, stage_all};
use crate::journal::mix64;
use crate::manager::Tier;

const PROMPT: usize = 16;
const SHARED: u64 = 8;
const SYSTEMS: u64 = 8;
const LONGEST: usize = 512;

struct Sequence {
    number: u64,
    next: Option<MutableBlock<Tier>>,
    blocks: Vec<ImmutableBlock<Tier>>,
}

#[derive(Default)]
pub struct Decode {
    begun: u64,
    oldest: usize,
    sequences: Vec<Sequence>,
}

fn sequence_hash(number: u64, k: u64) -> SequenceHash {
    let current = |k| {
        let chain = if k < SHARED {
            ABSENT_CHAIN + number % SYSTEMS
        } else {
            2 * ABSENT_CHAIN + number
        };
        mix64(chain << 16 | k)
    };
    SequenceHash::new(current(k), (k > 0).then(|| current(k - 1)), k)
}

fn admit(b: &Bench, number: u64) -> Result<Sequence, String> {
    let hashes: Vec<_> = (0..PROMPT as u64)
        .map(|k| sequence_hash(number, k))
        .collect();
    let mut blocks = b.manager.match_blocks(&hashes);
    let rest = &hashes[blocks.len()..];
    let fresh = b.manager.allocate_blocks(rest.len()).ok_or("no blocks")?;
    blocks.extend(b.manager.register_blocks(stage_all(fresh, rest)));
    let next = b.manager.allocate_blocks(1).ok_or("no blocks")?.pop();
    Ok(Sequence {
        number,
        next,
        blocks,
    })
}

fn finish(mut sequence: Sequence) {
    /* Tail first. */
    while let Some(block) = sequence.blocks.pop() {
        drop(block);
    }
}

pub fn begin(b: &mut Bench) -> Result<(), String> {
    if b.n + PROMPT > LONGEST || b.n * (PROMPT + b.n) > b.pool {
        return Err("the pool is too small".to_string());
    }
    let mut decode = Decode::default();
    b.fill_with_chains(false)?;
    for _ in 0..b.n {
        decode.sequences.push(admit(b, decode.begun)?);
        decode.begun += 1;
    }
    b.decode = Some(decode);
    Ok(())
}

pub fn step(b: &mut Bench) -> Result<usize, String> {
    let mut decode = b.decode.take().ok_or("no sequences")?;
    let hashes: Vec<_> = decode
        .sequences
        .iter()
        .map(|s| sequence_hash(s.number, s.blocks.len() as u64))
        .collect();
    let filled: Vec<_> = decode
        .sequences
        .iter_mut()
        .filter_map(|s| s.next.take())
        .collect();

    let started = Instant::now();
    let registered = b.manager.register_blocks(stage_all(filled, &hashes));
    let next = b.manager.allocate_blocks(b.n);
    b.clock_stop(started, b.n);
    let next = next.ok_or("no blocks")?;
    for ((s, block), next) in decode.sequences.iter_mut().zip(registered).zip(next) {
        b.digest_add(next.block_id() as u64);
        s.blocks.push(block);
        s.next = Some(next);
    }
    let at = decode.oldest % b.n;
    let number = decode.begun;
    decode.begun += 1;
    decode.oldest += 1;
    let last = decode.sequences.len() - 1;
    decode.sequences.swap(at, last);
    let old = decode.sequences.pop().ok_or("no sequences")?;

    let started = Instant::now();
    finish(old);
    let new = admit(b, number)?;
    b.clock_stop(started, PROMPT);
    decode.sequences.push(new);
    decode.sequences.swap(at, last);
    b.decode = Some(decode);
    Ok(1)
}
