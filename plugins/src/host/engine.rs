//! How WebAssembly is compiled and run here.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use wasmtime::{CacheStore, Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};

/// How long an epoch is, in milliseconds.
pub(super) const TICK_MS: u64 = 10;
/// Elements of one table.
pub(super) const MAX_TABLE: usize = 20_000;
/// What a guest may have, in bytes, if it declares more than half of [`SMALL_MEMORY`] to start with.
pub(super) const LARGE_MEMORY: usize = 64 * 1024 * 1024;
/// What a guest may have, in bytes.
pub(super) const SMALL_MEMORY: usize = 16 * 1024 * 1024;

/// How many instances there can be at once; each reserves 4 GiB of addresses, so that bounds need no checks.
const INSTANCES: u32 = 64;

/// An engine, and the thread that counts its epochs for as long as it lives.
pub(super) fn engine(cache: Option<Arc<dyn CacheStore>>) -> wasmtime::Result<Engine> {
    // After a call, memory is put back to what it was at first. Linux since 6.7 says which pages that concerns, and then
    // keeping them costs less than giving them back and faulting them in again; elsewhere all of this would be copied.
    let keep_resident = match PoolingAllocationConfig::is_pagemap_scan_available() {
        true => 2 * 1024 * 1024,
        false => 64 * 1024,
    };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(INSTANCES)
        .total_core_instances(INSTANCES * 4)
        .total_memories(INSTANCES)
        .total_tables(INSTANCES * 4)
        .max_core_instances_per_component(24)
        .max_memories_per_component(4)
        .max_tables_per_component(16)
        .max_memory_size(LARGE_MEMORY)
        .table_elements(MAX_TABLE)
        .max_unused_warm_slots(16)
        .pagemap_scan(Enabled::Auto)
        .linear_memory_keep_resident(keep_resident)
        .table_keep_resident(16 * 1024);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .consume_fuel(true)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .cranelift_opt_level(OptLevel::Speed)
        .wasm_backtrace_max_frames(None)
        .wasm_component_model(true)
        .wasm_multi_memory(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false);
    if let Some(cache) = cache {
        config.enable_incremental_compilation(cache)?;
    }
    let engine = Engine::new(&config)?;
    let ticked = engine.weak();
    thread::Builder::new().name("plugin-epoch".to_owned()).spawn(move || {
        while let Some(engine) = ticked.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(Duration::from_millis(TICK_MS));
        }
    })?;
    Ok(engine)
}
