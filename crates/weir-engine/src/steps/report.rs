//! What each step did: filled in while rows flow, complete when they have ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Map, Value};

/// The report of one step.
#[derive(Debug, Default)]
pub struct Tally(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    values: Map<String, Value>,
    sums: BTreeMap<&'static str, u64>,
    counts: BTreeMap<&'static str, Map<String, Value>>,
    warnings: Vec<Value>,
}

/// Warnings of a step that are kept.
const MAX_WARNINGS: usize = 100;

impl Tally {
    /// Sets a fact.
    pub fn set(&self, key: &str, value: impl Into<Value>) {
        self.0.lock().values.insert(key.to_owned(), value.into());
    }

    /// Sets a fact about a column: `{key: {column: value}}`.
    pub fn set_of(&self, key: &str, column: &str, value: impl Into<Value>) {
        let mut state = self.0.lock();
        let entry = state
            .values
            .entry(key)
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(columns) = entry {
            columns.insert(column.to_owned(), value.into());
        }
    }

    /// Adds to a number, which is there from the first call on, even of 0.
    pub fn add(&self, key: &'static str, n: u64) {
        *self.0.lock().sums.entry(key).or_default() += n;
    }

    /// Adds to a number of a column: `{key: {column: n}}`.
    pub fn count(&self, key: &'static str, column: &str, n: u64) {
        let mut state = self.0.lock();
        let columns = state.counts.entry(key).or_default();
        let before = columns.get(column).and_then(Value::as_u64).unwrap_or(0);
        columns.insert(column.to_owned(), Value::from(before + n));
    }

    /// Adds a warning, once.
    pub fn warn(&self, text: impl Into<String>) {
        let mut state = self.0.lock();
        let text = Value::String(text.into());
        if state.warnings.len() < MAX_WARNINGS && !state.warnings.contains(&text) {
            state.warnings.push(text);
        }
    }

    fn to_json(&self, op: &str) -> Value {
        let state = self.0.lock();
        let mut entry = Map::new();
        entry.insert("op".to_owned(), op.into());
        entry.extend(state.values.clone());
        let sums = state.sums.iter();
        entry.extend(sums.map(|(key, n)| ((*key).to_owned(), Value::from(*n))));
        let counts = state.counts.iter();
        entry.extend(counts.map(|(key, n)| ((*key).to_owned(), Value::Object(n.clone()))));
        if !state.warnings.is_empty() {
            entry.insert("warnings".to_owned(), state.warnings.clone().into());
        }
        Value::Object(entry)
    }
}

/// The reports of all steps, in their order. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Report(Vec<(&'static str, Arc<Tally>)>);

impl Report {
    /// Adds a step.
    pub(crate) fn begin(&mut self, op: &'static str) -> Arc<Tally> {
        let tally = Arc::new(Tally::default());
        self.0.push((op, Arc::clone(&tally)));
        tally
    }

    /// Whether no step has one.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `[{"op", …}]`, one for each step; complete once the rows have ended.
    pub fn to_json(&self) -> Value {
        self.0.iter().map(|(op, tally)| tally.to_json(op)).collect()
    }
}
