//! Runs that the store keeps nothing of, for as long as somebody may still ask
//! how they ended: an hour, and no more of them than fit a bounded memory.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;
use weir_engine::steps::Report;
use weir_store::RunRow;

use super::active::Labels;

/// How long a run is kept.
const AGE: Duration = Duration::from_secs(3_600);
/// Runs at most; the oldest go first.
const RUNS: usize = 4_000;
/// Bytes of all their reports at most.
const BYTES: usize = 32 << 20;
/// Bytes of one report at most, as JSON.
const REPORT: usize = 1 << 20;

/// `report` as JSON, unless it is too large to be kept.
pub fn bounded(report: &Report) -> Value {
    let report = storable(report.to_json());
    let size = size(&report);
    if size <= REPORT {
        return report;
    }
    let text = format!("the report of {size} bytes is too large to be kept");
    json!([{ "warnings": [text] }])
}

/// The store cannot keep U+0000, which values and names of columns may hold.
fn storable(value: Value) -> Value {
    let text = |text: String| match text.contains('\0') {
        true => text.replace('\0', "\u{fffd}"),
        false => text,
    };
    match value {
        Value::String(given) => Value::String(text(given)),
        Value::Array(items) => items.into_iter().map(storable).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (text(name), storable(value)))
            .collect(),
        other => other,
    }
}

fn size(report: &Value) -> usize {
    serde_json::to_vec(report).map_or(0, |bytes| bytes.len())
}

/// The runs.
#[derive(Default)]
pub struct Kept {
    order: VecDeque<(Instant, Uuid)>,
    runs: HashMap<Uuid, (RunRow, Labels, usize)>,
    bytes: usize,
}

impl Kept {
    /// The run with this id, unless it is too old.
    pub fn find(&mut self, id: Uuid) -> Option<(RunRow, Labels)> {
        self.forget(Instant::now());
        let (row, labels, _) = self.runs.get(&id)?;
        Some((row.clone(), labels.clone()))
    }

    /// Keeps a run.
    pub fn add(&mut self, row: RunRow, labels: Labels) {
        let now = Instant::now();
        let bytes = row.report.as_ref().map_or(0, size);
        self.bytes += bytes;
        self.order.push_back((now, row.id));
        self.runs.insert(row.id, (row, labels, bytes));
        self.forget(now);
    }

    fn forget(&mut self, now: Instant) {
        while let Some((at, id)) = self.order.front().copied() {
            let is_old = now.duration_since(at) >= AGE;
            if !is_old && self.runs.len() <= RUNS && self.bytes <= BYTES {
                return;
            }
            self.order.pop_front();
            if let Some((_, _, bytes)) = self.runs.remove(&id) {
                self.bytes -= bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(report: Option<Value>) -> RunRow {
        RunRow {
            id: Uuid::now_v7(),
            started_at: chrono::Utc::now(),
            finished_at: None,
            rows: None,
            bytes: None,
            instance_id: Uuid::nil(),
            key_id: None,
            source_id: None,
            trace_id: None,
            kind: "transform".to_owned(),
            status: "succeeded".to_owned(),
            source_name: None,
            stream: None,
            columns: None,
            query_hash: None,
            query: None,
            error_code: None,
            error_message: None,
            report,
        }
    }

    #[test]
    fn what_the_store_cannot_hold_is_shown_as_such() {
        let report = json!([{"values": {"a\0": ["x\0y", 1, null]}}]);
        let kept = json!([{"values": {"a\u{fffd}": ["x\u{fffd}y", 1, null]}}]);
        assert_eq!(storable(report), kept);
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many_or_too_large_ones() {
        let mut kept = Kept::default();
        let first = run(None);
        let id = first.id;
        kept.add(first, None);
        for _ in 1..RUNS {
            kept.add(run(None), None);
        }
        assert!(kept.find(id).is_some());
        kept.add(run(None), None);
        assert!(kept.find(id).is_none());
        for _ in 0..=BYTES / 1_000_000 {
            kept.add(run(Some(json!("x".repeat(1_000_000)))), None);
        }
        assert!(
            kept.bytes <= BYTES && kept.runs.len() < 40,
            "{}",
            kept.runs.len()
        );
        let last = kept.order.back().unwrap().1;
        assert!(kept.find(last).is_some());
        kept.forget(Instant::now() + AGE);
        assert!((kept.runs.is_empty(), kept.bytes) == (true, 0));
    }
}
