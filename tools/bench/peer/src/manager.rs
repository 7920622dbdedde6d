// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Managers of the crate by the names that we give policies.

use kvbm_logical::BlockManager;
use kvbm_logical::manager::{
    BlockManagerConfigBuilder, FrequencyTrackingCapacity, LineageEviction,
};
use kvbm_logical::pools::BlockDuplicationPolicy;
use kvbm_logical::registry::BlockRegistry;

/// Tokens per block.
pub const BLOCK_SIZE: usize = 4;

#[derive(Clone)]
pub struct Tier;

pub type Manager = BlockManager<Tier>;

pub struct Attributes<'a> {
    pub policy: &'a str,
    pub blocks: usize,
    pub reject: bool,
    pub reset_on_release: bool,
    /// The crate's tests and benchmarks have a tracker with every policy.
    pub tracker: bool,
}

fn with_policy(
    builder: BlockManagerConfigBuilder<Tier>,
    policy: &str,
) -> Result<BlockManagerConfigBuilder<Tier>, String> {
    Ok(match policy {
        "fifo" => builder.with_hashmap_backend(),
        "lru" => builder.with_lru_backend(),
        "multi-lru" => builder.with_multi_lru_backend(),
        "lineage-tick" => builder.with_lineage_backend_eviction(LineageEviction::Tick),
        "lineage-fifo" => builder.with_lineage_backend_eviction(LineageEviction::Fifo),
        _ => return Err(format!("no policy {policy}")),
    })
}

pub fn create(attributes: &Attributes) -> Result<Manager, String> {
    let mut registry = BlockRegistry::builder();
    if attributes.tracker || attributes.policy == "multi-lru" {
        let tracker = FrequencyTrackingCapacity::Medium.create_tracker();
        registry = registry.frequency_tracker(tracker);
    }
    let duplicates = if attributes.reject {
        BlockDuplicationPolicy::Reject
    } else {
        BlockDuplicationPolicy::Allow
    };
    let builder = Manager::builder()
        .block_count(attributes.blocks)
        .block_size(BLOCK_SIZE)
        .registry(registry.build())
        .duplication_policy(duplicates)
        .with_default_reset_on_release(attributes.reset_on_release);

    with_policy(builder, attributes.policy)?
        .build()
        .map_err(|error| error.to_string())
}
