//! Leading steps that the read itself can do, where the rows that come out are
//! provably the same. The engine then pushes them on to the source.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use weir_core::config;
use weir_core::evaluate::{compile, place_of};
use weir_core::types::unique_names;
use weir_core::{Comparison, Operand, Predicate, Read};
use weir_values::ColumnKind;

use super::at::At;
use super::pipeline::{Pipeline, Planned};
use super::rows::{FilterRows, LimitRows, SortBy};
use super::shape::Select;
use crate::read::settled;

/// What can be done with a leading step.
enum Push {
    /// The read does it.
    Done,
    /// The read does a part of it, the step does it again.
    Helped,
    /// Neither it nor what is behind it.
    No,
}

impl Pipeline {
    /// Whether [`Pipeline::push_down`] may find anything to do.
    pub fn may_push_down(&self) -> bool {
        let first = self.steps.first().map(|step| step.kind.op);
        first.is_some_and(|op| ["select", "filter_rows", "sort_rows", "limit"].contains(&op))
    }

    /// Moves leading `select`, `filter_rows`, `sort_rows` and `limit` into
    /// `read`, whose target has the columns of `schema`; gives how many. `kinds`
    /// is what the caller says that columns mean.
    pub fn push_down(
        &mut self,
        read: &mut Read,
        schema: &Schema,
        kinds: &[(String, ColumnKind)],
    ) -> usize {
        let mut pushed = 0;
        for step in &mut self.steps {
            let seen = visible(read, schema);
            let said = [kinds, &step.kinds].concat();
            match push(step, read, &seen, &said) {
                Push::Done => step.pushed = true,
                Push::Helped | Push::No => break,
            }
            pushed += 1;
        }
        pushed
    }
}

/// The columns that a step sees, under the names it knows them by.
fn visible(read: &Read, schema: &Schema) -> Schema {
    let names = unique_names(schema.fields().iter().map(|field| field.name().as_str()));
    let named = |(field, name): (&Arc<Field>, String)| Field::clone(field).with_name(name);
    let all: Vec<Field> = schema.fields().iter().zip(names).map(named).collect();
    match &read.columns {
        None => Schema::new(all),
        Some(columns) => {
            let whole = Schema::new(all);
            let found = columns.iter().filter_map(|name| place_of(&whole, name));
            Schema::new(found.map(|at| whole.field(at).clone()).collect::<Vec<_>>())
        }
    }
}

fn push(step: &Planned, read: &mut Read, seen: &Schema, kinds: &[(String, ColumnKind)]) -> Push {
    match step.kind.op {
        "select" => args::<Select>(step).map_or(Push::No, |step| select(step, read, seen, kinds)),
        "filter_rows" => args::<FilterRows>(step)
            .map_or(Push::No, |args| filter(&args, &step.at, read, seen, kinds)),
        "sort_rows" => args::<SortBy>(step).map_or(Push::No, |step| sort(&step, read, seen, kinds)),
        "limit" => args::<LimitRows>(step).map_or(Push::No, |step| {
            read.limit = Some(read.limit.map_or(step.rows, |most| most.min(step.rows)));
            Push::Done
        }),
        _ => Push::No,
    }
}

fn args<T: serde::de::DeserializeOwned>(step: &Planned) -> Option<T> {
    config::decode(step.args.clone()).ok()
}

fn has(seen: &Schema, name: &str) -> bool {
    seen.fields().iter().any(|field| field.name() == name)
}

fn select(step: Select, read: &mut Read, seen: &Schema, kinds: &[(String, ColumnKind)]) -> Push {
    if step.columns.is_empty() || !step.columns.iter().all(|name| has(seen, name)) {
        return Push::No;
    }
    // A column of which the caller says what it means is there to be found.
    if !kinds.iter().all(|(name, _)| step.columns.contains(name)) {
        return Push::No;
    }
    read.columns = Some(step.columns);
    Push::Done
}

fn filter(
    step: &FilterRows,
    at: &At,
    read: &mut Read,
    seen: &Schema,
    kinds: &[(String, ColumnKind)],
) -> Push {
    let Ok(Some(predicate)) = step.predicate(at) else {
        return Push::No;
    };
    // Behind a limit a filter means something else.
    if read.limit.is_some() {
        return Push::No;
    }
    let predicate = settled(&predicate, seen);
    let columns = predicate.columns();
    let plain = |name: &str| has(seen, name) && !kinds.iter().any(|(known, _)| known == name);
    if !columns.iter().all(|name| plain(name)) || compile(&predicate, seen).is_err() {
        return Push::No;
    }
    let floats = columns.iter().any(|name| is_float(seen, name));
    if floats && !only_drops_more(&predicate, seen) {
        return Push::No;
    }
    read.filter.extend(predicate.conjuncts());
    if floats { Push::Helped } else { Push::Done }
}

fn is_float(seen: &Schema, name: &str) -> bool {
    place_of(seen, name).is_some_and(|at| seen.field(at).data_type().is_floating())
}

/// For steps an infinity is null, for a source it is a number. Whether `predicate`
/// keeps, with numbers in the place of nulls, all the rows that it keeps with nulls.
fn only_drops_more(predicate: &Predicate, seen: &Schema) -> bool {
    match predicate {
        Predicate::And(parts) | Predicate::Or(parts) => {
            parts.iter().all(|part| only_drops_more(part, seen))
        }
        Predicate::Compare {
            op: Comparison::Ne,
            right: Operand::Column(_),
            ..
        } => false,
        Predicate::Compare { .. } | Predicate::In { .. } | Predicate::Between { .. } => true,
        other => !other.columns().iter().any(|name| is_float(seen, name)),
    }
}

fn sort(step: &SortBy, read: &mut Read, seen: &Schema, kinds: &[(String, ColumnKind)]) -> Push {
    if read.limit.is_some() || step.by.is_empty() {
        return Push::No;
    }
    let sortable = |name: &str| match place_of(seen, name) {
        None => false,
        Some(at) => {
            let data_type = seen.field(at).data_type();
            let meant = kinds.iter().any(|(known, _)| known == name);
            has(seen, name)
                && !meant
                && !data_type.is_nested()
                && !data_type.is_floating()
                && *data_type != DataType::Null
        }
    };
    if !step.by.iter().all(|key| sortable(&key.column)) {
        return Push::No;
    }
    // Stable: what was sorted by before decides between equal rows.
    let keys = step.by.iter().map(super::rows::SortKey::order);
    let before = std::mem::take(&mut read.order);
    read.order = keys.chain(before).collect();
    Push::Done
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use weir_core::{StreamId, Target};

    use super::*;
    use crate::steps::testing::schema;

    fn pushed(steps: &Value, change: impl Fn(&mut Read)) -> (usize, Read) {
        let mut pipeline = Pipeline::parse(steps.as_array().unwrap(), "/steps").unwrap();
        let target = Target::Stream(StreamId::parse("t", "/stream").unwrap());
        let mut read = Read::all(target);
        change(&mut read);
        let schema = schema(&[("a", "int64"), ("b", "string"), ("f", "float64")]);
        let n = pipeline.push_down(&mut read, &schema, &[]);
        (n, read)
    }

    #[test]
    fn leading_steps_go_into_the_read_and_stop_where_they_would_differ() {
        let (n, read) = pushed(
            &json!([
                {"op": "filter", "condition": "a > 1"},
                {"op": "sort", "by": [{"column": "b"}]},
                {"op": "limit", "rows": 5},
                {"op": "select", "columns": ["b"]},
                {"op": "filter", "condition": "b == 'x'"},
            ]),
            |_| (),
        );
        assert_eq!((n, read.filter.len(), read.order.len()), (4, 1, 1));
        assert_eq!(read.limit, Some(5));
        assert_eq!(read.columns, Some(vec!["b".to_owned()]));
        let limited = |read: &mut Read| read.limit = Some(3);
        assert_eq!(
            pushed(&json!([{"op": "filter", "condition": "a > 1"}]), limited).0,
            0
        );
        let (n, read) = pushed(&json!([{"op": "limit", "rows": 7}]), limited);
        assert_eq!((n, read.limit), (1, Some(3)));
    }

    #[test]
    fn what_infinities_would_change_stays_a_step() {
        let (n, read) = pushed(&json!([{"op": "filter", "condition": "f > 1"}]), |_| ());
        assert_eq!((n, read.filter.len()), (0, 1));
        for condition in ["f == null", "f != a"] {
            let (n, read) = pushed(&json!([{"op": "filter", "condition": condition}]), |_| ());
            assert_eq!((n, read.filter.len()), (0, 0), "{condition}");
        }
        assert_eq!(
            pushed(&json!([{"op": "sort", "by": [{"column": "f"}]}]), |_| ()).0,
            0
        );
    }

    #[test]
    fn a_word_means_what_the_step_sees() {
        let steps = json!([
            {"op": "select", "columns": ["b"]},
            {"op": "filter", "condition": "b == a"},
        ]);
        let (n, read) = pushed(&steps, |_| ());
        assert_eq!(n, 2);
        let Predicate::Compare { right, .. } = &read.filter[0] else {
            panic!("{:?}", read.filter);
        };
        assert_eq!(*right, Operand::Value(weir_core::Value::Text("a".into())));
    }
}
