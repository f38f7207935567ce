//! The limits as settings: one row each, beside the other settings.

use anyhow::{Result, bail};
use clap::Args;
use serde::Deserialize;
use weir_api::state::Limits;

/// Limits as they may be given; in the file they stand in a table `[limits]`.
#[derive(Debug, Default, Clone, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSettings {
    /// Bytes of any body [default: 1073741824]
    #[arg(long, env = "WEIR_BODY_BYTES", value_name = "BYTES")]
    pub body_bytes: Option<u64>,
    /// How long a body may stand still, or take for each 1024 bytes, in milliseconds [default: 30000]
    #[arg(long, env = "WEIR_BODY_STALL_MS", value_name = "MS")]
    pub body_stall_ms: Option<u64>,
    /// How long a client may take nothing of its answer, in milliseconds [default: 60000]
    #[arg(long, env = "WEIR_WRITE_STALL_MS", value_name = "MS")]
    pub write_stall_ms: Option<u64>,
    /// How long the head of a request may take, in milliseconds [default: 10000]
    #[arg(long, env = "WEIR_HEAD_MS", value_name = "MS")]
    pub head_ms: Option<u64>,
    /// How long a connection may lie idle between requests, in milliseconds [default: 75000]
    #[arg(long, env = "WEIR_IDLE_MS", value_name = "MS")]
    pub idle_ms: Option<u64>,
    /// Connections at once, as far as the process may open files; further ones wait [default: 10000]
    #[arg(long, env = "WEIR_CONNECTIONS", value_name = "CONNECTIONS")]
    pub connections: Option<usize>,
    /// Bytes of a JSON body that is read whole [default: 16777216]
    #[arg(long, env = "WEIR_JSON_BODY_BYTES", value_name = "BYTES")]
    pub json_body_bytes: Option<usize>,
    /// Levels of a JSON body or a filter, 1 to 128 [default: 128]
    #[arg(long, env = "WEIR_NESTING_LEVELS", value_name = "LEVELS")]
    pub nesting_levels: Option<usize>,
    /// Columns that are asked for, sent or read [default: 10000]
    #[arg(long, env = "WEIR_COLUMNS", value_name = "COLUMNS")]
    pub columns: Option<usize>,
    /// How many times larger than its encoded form a decoded body may be [default: 200]
    #[arg(long, env = "WEIR_DECODED_RATIO", value_name = "TIMES")]
    pub decoded_ratio: Option<u64>,
    /// Decoded bytes from which on that ratio counts [default: 10485760]
    #[arg(long, env = "WEIR_DECODED_RATIO_FROM_BYTES", value_name = "BYTES")]
    pub decoded_ratio_from_bytes: Option<u64>,
    /// Bytes of a statement [default: 1048576]
    #[arg(long, env = "WEIR_STATEMENT_BYTES", value_name = "BYTES")]
    pub statement_bytes: Option<usize>,
    /// Rows of a preview [default: 10000]
    #[arg(long, env = "WEIR_PREVIEW_ROWS", value_name = "ROWS")]
    pub preview_rows: Option<u64>,
    /// Bytes of a preview, counted in memory [default: 16777216]
    #[arg(long, env = "WEIR_PREVIEW_BYTES", value_name = "BYTES")]
    pub preview_bytes: Option<usize>,
    /// Wall time of a preview, in milliseconds [default: 30000]
    #[arg(long, env = "WEIR_PREVIEW_MS", value_name = "MS")]
    pub preview_ms: Option<u64>,
    /// Rows of a load [default: none]
    #[arg(long, env = "WEIR_LOAD_ROWS", value_name = "ROWS")]
    pub load_rows: Option<u64>,
    /// Bytes of a load, counted in memory [default: none]
    #[arg(long, env = "WEIR_LOAD_BYTES", value_name = "BYTES")]
    pub load_bytes: Option<u64>,
    /// Wall time of a load, and the most a caller may ask for, in milliseconds [default: 3600000]
    #[arg(long, env = "WEIR_LOAD_MS", value_name = "MS")]
    pub load_ms: Option<u64>,
    /// How long headers wait for the first rows, in milliseconds [default: 30000]
    #[arg(long, env = "WEIR_FIRST_BATCH_MS", value_name = "MS")]
    pub first_batch_ms: Option<u64>,
    /// Loads of one key at once, on each instance [default: 8]
    #[arg(long, env = "WEIR_LOADS_PER_KEY", value_name = "LOADS")]
    pub loads_per_key: Option<usize>,
    /// Connections of a source that does not say how many, on each instance [default: 10]
    #[arg(long, env = "WEIR_SOURCE_CONNECTIONS", value_name = "CONNECTIONS")]
    pub source_connections: Option<usize>,
    /// How long a read waits for one of them, in milliseconds [default: 5000]
    #[arg(long, env = "WEIR_SOURCE_WAIT_MS", value_name = "MS")]
    pub source_wait_ms: Option<u64>,
    /// Wall time of a connection test, in milliseconds [default: 30000]
    #[arg(long, env = "WEIR_TEST_MS", value_name = "MS")]
    pub test_ms: Option<u64>,
    /// Wall time of one page of discovery, in milliseconds [default: 60000]
    #[arg(long, env = "WEIR_DISCOVER_MS", value_name = "MS")]
    pub discover_ms: Option<u64>,
    /// How long pages of discovery are kept, in seconds [default: 60]
    #[arg(long, env = "WEIR_DISCOVERY_CACHE_SECONDS", value_name = "SECONDS")]
    pub discovery_cache_seconds: Option<u64>,
    /// Encoded bytes that wait for a slow client before the source is held [default: 8388608]
    #[arg(long, env = "WEIR_QUEUE_BYTES", value_name = "BYTES")]
    pub queue_bytes: Option<usize>,
    /// Memory for rows of one request, in bytes; sorts spill to disk [default: 268435456]
    #[arg(long, env = "WEIR_MEMORY_REQUEST_BYTES", value_name = "BYTES")]
    pub memory_request_bytes: Option<usize>,
    /// Items of a page of a list at most [default: 1000]
    #[arg(long, env = "WEIR_PAGE_ITEMS", value_name = "ITEMS")]
    pub page_items: Option<usize>,
}

impl LimitSettings {
    /// These, and `below` where these say nothing.
    pub fn over(self, below: LimitSettings) -> Self {
        LimitSettings {
            body_bytes: self.body_bytes.or(below.body_bytes),
            body_stall_ms: self.body_stall_ms.or(below.body_stall_ms),
            write_stall_ms: self.write_stall_ms.or(below.write_stall_ms),
            head_ms: self.head_ms.or(below.head_ms),
            idle_ms: self.idle_ms.or(below.idle_ms),
            connections: self.connections.or(below.connections),
            json_body_bytes: self.json_body_bytes.or(below.json_body_bytes),
            nesting_levels: self.nesting_levels.or(below.nesting_levels),
            columns: self.columns.or(below.columns),
            decoded_ratio: self.decoded_ratio.or(below.decoded_ratio),
            decoded_ratio_from_bytes: self
                .decoded_ratio_from_bytes
                .or(below.decoded_ratio_from_bytes),
            statement_bytes: self.statement_bytes.or(below.statement_bytes),
            preview_rows: self.preview_rows.or(below.preview_rows),
            preview_bytes: self.preview_bytes.or(below.preview_bytes),
            preview_ms: self.preview_ms.or(below.preview_ms),
            load_rows: self.load_rows.or(below.load_rows),
            load_bytes: self.load_bytes.or(below.load_bytes),
            load_ms: self.load_ms.or(below.load_ms),
            first_batch_ms: self.first_batch_ms.or(below.first_batch_ms),
            loads_per_key: self.loads_per_key.or(below.loads_per_key),
            source_connections: self.source_connections.or(below.source_connections),
            source_wait_ms: self.source_wait_ms.or(below.source_wait_ms),
            test_ms: self.test_ms.or(below.test_ms),
            discover_ms: self.discover_ms.or(below.discover_ms),
            discovery_cache_seconds: self
                .discovery_cache_seconds
                .or(below.discovery_cache_seconds),
            queue_bytes: self.queue_bytes.or(below.queue_bytes),
            memory_request_bytes: self.memory_request_bytes.or(below.memory_request_bytes),
            page_items: self.page_items.or(below.page_items),
        }
    }

    /// The limits that hold, with the engine's memory and disk.
    pub fn limits(&self, memory_bytes: Option<usize>, spill_bytes: Option<u64>) -> Result<Limits> {
        let usual = Limits::default();
        let limits = Limits {
            body_bytes: self.body_bytes.unwrap_or(usual.body_bytes),
            body_stall_ms: self.body_stall_ms.unwrap_or(usual.body_stall_ms),
            write_stall_ms: self.write_stall_ms.unwrap_or(usual.write_stall_ms),
            head_ms: self.head_ms.unwrap_or(usual.head_ms),
            idle_ms: self.idle_ms.unwrap_or(usual.idle_ms),
            connections: self.connections.unwrap_or(usual.connections),
            json_body_bytes: self.json_body_bytes.unwrap_or(usual.json_body_bytes),
            nesting_levels: self.nesting_levels.unwrap_or(usual.nesting_levels),
            columns: self.columns.unwrap_or(usual.columns),
            decoded_ratio: self.decoded_ratio.unwrap_or(usual.decoded_ratio),
            decoded_ratio_from_bytes: self
                .decoded_ratio_from_bytes
                .unwrap_or(usual.decoded_ratio_from_bytes),
            statement_bytes: self.statement_bytes.unwrap_or(usual.statement_bytes),
            preview_rows: self.preview_rows.unwrap_or(usual.preview_rows),
            preview_bytes: self.preview_bytes.unwrap_or(usual.preview_bytes),
            preview_ms: self.preview_ms.unwrap_or(usual.preview_ms),
            load_rows: self.load_rows.or(usual.load_rows),
            load_bytes: self.load_bytes.or(usual.load_bytes),
            load_ms: self.load_ms.unwrap_or(usual.load_ms),
            first_batch_ms: self.first_batch_ms.unwrap_or(usual.first_batch_ms),
            loads_per_key: self.loads_per_key.unwrap_or(usual.loads_per_key),
            source_connections: self.source_connections.unwrap_or(usual.source_connections),
            source_wait_ms: self.source_wait_ms.unwrap_or(usual.source_wait_ms),
            test_ms: self.test_ms.unwrap_or(usual.test_ms),
            discover_ms: self.discover_ms.unwrap_or(usual.discover_ms),
            discovery_cache_seconds: self
                .discovery_cache_seconds
                .unwrap_or(usual.discovery_cache_seconds),
            queue_bytes: self.queue_bytes.unwrap_or(usual.queue_bytes),
            page_items: self.page_items.unwrap_or(usual.page_items),
            memory_bytes: memory_bytes.unwrap_or_else(|| usual_memory(usual.memory_bytes)),
            memory_request_bytes: self
                .memory_request_bytes
                .unwrap_or(usual.memory_request_bytes),
            spill_bytes: spill_bytes.unwrap_or(usual.spill_bytes),
        };
        check(&limits)?;
        Ok(limits)
    }
}

/// Less would refuse any request for rows.
const LEAST_MEMORY: usize = 16 << 20;

/// Half of what the process may have, or `most` if that is less: the other half
/// is for everything that is not rows, and for what an allocator keeps.
fn usual_memory(most: usize) -> usize {
    let half = crate::machine::memory().map_or(most, |bytes| bytes / 2);
    half.min(most).max(LEAST_MEMORY)
}

/// A limit of nothing would refuse every request.
fn check(limits: &Limits) -> Result<()> {
    if !(1..=128).contains(&limits.nesting_levels) {
        bail!("WEIR_NESTING_LEVELS must be from 1 to 128");
    }
    for (name, value) in [
        ("WEIR_MEMORY_BYTES", limits.memory_bytes),
        ("WEIR_MEMORY_REQUEST_BYTES", limits.memory_request_bytes),
    ] {
        if value < LEAST_MEMORY {
            bail!("{name} must be at least {LEAST_MEMORY}");
        }
    }
    let at_least_one = [
        ("WEIR_BODY_BYTES", limits.body_bytes),
        ("WEIR_JSON_BODY_BYTES", limits.json_body_bytes as u64),
        ("WEIR_BODY_STALL_MS", limits.body_stall_ms),
        ("WEIR_WRITE_STALL_MS", limits.write_stall_ms),
        ("WEIR_HEAD_MS", limits.head_ms),
        ("WEIR_IDLE_MS", limits.idle_ms),
        ("WEIR_CONNECTIONS", limits.connections as u64),
        ("WEIR_COLUMNS", limits.columns as u64),
        ("WEIR_DECODED_RATIO", limits.decoded_ratio),
        ("WEIR_STATEMENT_BYTES", limits.statement_bytes as u64),
        ("WEIR_PREVIEW_ROWS", limits.preview_rows),
        ("WEIR_PREVIEW_MS", limits.preview_ms),
        ("WEIR_LOAD_MS", limits.load_ms),
        ("WEIR_FIRST_BATCH_MS", limits.first_batch_ms),
        ("WEIR_LOADS_PER_KEY", limits.loads_per_key as u64),
        ("WEIR_SOURCE_CONNECTIONS", limits.source_connections as u64),
        ("WEIR_TEST_MS", limits.test_ms),
        ("WEIR_DISCOVER_MS", limits.discover_ms),
        ("WEIR_QUEUE_BYTES", limits.queue_bytes as u64),
        ("WEIR_PAGE_ITEMS", limits.page_items as u64),
    ];
    for (name, value) in at_least_one {
        if value == 0 {
            bail!("{name} must be at least 1");
        }
    }
    Ok(())
}
