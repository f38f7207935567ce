//! The golden cases of the profile: what each sends, what must come back, and
//! where the two differ. `tests/golden/profile/README.md` says how a case is
//! written.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::Answer;
use crate::tables::{cases_of, is_same_within};

/// By so much of the expected value numbers may differ.
const TOLERANCE: f64 = 1e-9;

/// By so much where that is 0.
const OF_ZERO: f64 = 1e-12;

/// One case.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Unique in its file.
    pub name: String,
    data: Value,
    steps: Option<Value>,
    column_types: Option<Value>,
    clean: Option<bool>,
    approximate: Option<bool>,
    /// Whether the data cannot be said in JSON.
    #[serde(default)]
    pub in_process: bool,
    expect: Expected,
}

/// What a case expects.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    #[serde(default)]
    dataset: Map<String, Value>,
    #[serde(default)]
    columns: Map<String, Value>,
    status: Option<u16>,
    pointer: Option<String>,
    code: Option<String>,
    hint_contains: Option<String>,
}

/// Every case by the name of its file.
pub fn cases() -> BTreeMap<String, Vec<Case>> {
    cases_of("profile")
}

/// Cases by statistic, then by the type of the column; those of the table have
/// the type `dataset`.
pub fn by_statistic() -> BTreeMap<String, BTreeMap<String, usize>> {
    let mut counts: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    let mut count = |statistic: &str, of: &str| {
        let of_one = counts.entry(statistic.to_owned()).or_default();
        *of_one.entry(of.to_owned()).or_insert(0) += 1;
    };
    for case in cases().into_values().flatten() {
        for name in case.expect.dataset.keys() {
            count(name, "dataset");
        }
        for column in case.expect.columns.values() {
            let of = column["type"].as_str().unwrap_or("others");
            for name in column["statistics"].as_object().into_iter().flatten() {
                count(name.0, of);
            }
        }
    }
    counts
}

/// Cases by the type of a column that must be found.
pub fn by_type() -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for case in cases().into_values().flatten() {
        for column in case.expect.columns.values() {
            if let Some(name) = column["type"].as_str() {
                *counts.entry(name.to_owned()).or_insert(0) += 1;
            }
        }
    }
    counts
}

impl Case {
    /// The body of the request.
    pub fn request(&self) -> Value {
        let mut body = json!({"data": self.data});
        let members = [
            ("steps", self.steps.clone()),
            ("column_types", self.column_types.clone()),
            ("clean", self.clean.map(Value::from)),
            ("approximate", self.approximate.map(Value::from)),
        ];
        for (name, value) in members {
            if let Some(value) = value {
                body[name] = value;
            }
        }
        body
    }

    /// What is wrong with the answer; nothing where it is as expected.
    pub fn fault(&self, answer: &Answer) -> Option<String> {
        let expect = &self.expect;
        let wanted = expect.status.unwrap_or(200);
        if answer.status != wanted {
            let text = answer.text();
            return Some(format!("status {}, not {wanted}: {text}", answer.status));
        }
        let given: Value = match serde_json::from_slice(&answer.body) {
            Ok(given) => given,
            Err(error) => return Some(format!("no JSON, {error}: {}", answer.text())),
        };
        let faults = match expect.status {
            None => expect.faults(&given),
            Some(_) => expect.refusal(&given),
        };
        (!faults.is_empty()).then(|| faults.join("\n    "))
    }
}

impl Expected {
    fn refusal(&self, problem: &Value) -> Vec<String> {
        let first = &problem["errors"][0];
        let pointer = first["pointer"].as_str().unwrap_or("-");
        let is_there = self
            .pointer
            .as_deref()
            .is_none_or(|wanted| pointer == format!("#{wanted}"));
        let is_coded = self
            .code
            .as_deref()
            .is_none_or(|code| problem["code"] == code);
        let texts = [&problem["hint"], &problem["detail"], &first["detail"]];
        let is_said = self.hint_contains.as_deref().is_none_or(|words| {
            let mut texts = texts.iter().filter_map(|text| text.as_str());
            texts.any(|text| text.contains(words))
        });
        match is_there && is_coded && is_said {
            true => Vec::new(),
            false => vec![format!("refused otherwise: {problem}")],
        }
    }

    fn faults(&self, given: &Value) -> Vec<String> {
        let mut faults = lacking("", &given["dataset"], &self.dataset);
        let names = given["columns"].as_object().into_iter().flatten();
        let shown: Vec<&String> = names
            .map(|(name, _)| name)
            .filter(|name| self.columns.contains_key(*name))
            .collect();
        if shown != self.columns.keys().collect::<Vec<_>>() {
            faults.push(format!("columns {shown:?}"));
        }
        for (name, wanted) in &self.columns {
            faults.extend(column_faults(name, &given["columns"][name], wanted));
        }
        faults
    }
}

fn column_faults(name: &str, given: &Value, wanted: &Value) -> Vec<String> {
    let nothing = Map::new();
    let plain: Map<String, Value> = ["type", "rule", "confidence"]
        .into_iter()
        .filter_map(|part| Some((part.to_owned(), wanted.get(part)?.clone())))
        .collect();
    let at = format!("{name} ");
    let mut faults = lacking(&at, given, &plain);
    let statistics = wanted["statistics"].as_object().unwrap_or(&nothing);
    faults.extend(lacking(&at, &given["statistics"], statistics));
    let absent = wanted["absent"].as_array().into_iter().flatten();
    let there = absent
        .filter_map(Value::as_str)
        .filter(|part| given["statistics"].get(part).is_some());
    faults.extend(there.map(|part| format!("{name} has {part}")));
    faults
}

/// What of the members that are wanted is not there.
fn lacking(at: &str, given: &Value, wanted: &Map<String, Value>) -> Vec<String> {
    wanted
        .iter()
        .filter(|(name, wanted)| !given.get(name).is_some_and(|given| is_same(given, wanted)))
        .map(|(name, wanted)| {
            let given = given
                .get(name)
                .map_or("absent".to_owned(), Value::to_string);
            format!("{at}{name}: {given}, not {wanted}")
        })
        .collect()
}

/// Numbers by value, members in their order.
fn is_same(given: &Value, wanted: &Value) -> bool {
    match (given, wanted) {
        (Value::Array(given), Value::Array(wanted)) => {
            let mut pairs = given.iter().zip(wanted);
            given.len() == wanted.len() && pairs.all(|(given, wanted)| is_same(given, wanted))
        }
        (Value::Object(given), Value::Object(wanted)) => {
            let mut pairs = given.iter().zip(wanted);
            given.len() == wanted.len()
                && pairs.all(|((a, given), (b, wanted))| a == b && is_same(given, wanted))
        }
        (Value::Number(_), Value::Number(number)) => {
            let size = number.as_f64().unwrap_or_default().abs();
            let most = if size == 0.0 {
                OF_ZERO
            } else {
                TOLERANCE * size
            };
            // The other one is of the larger of 1 and the expected value.
            is_same_within(given, wanted, most / size.max(1.0))
        }
        _ => given == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_in_their_file() {
        for (file, cases) in cases() {
            let mut names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
            names.sort_unstable();
            let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
            assert_eq!(twice, None, "{file}");
        }
    }

    #[test]
    fn values_compare_as_they_mean() {
        for (given, wanted, same) in [
            (json!(2.0), json!(2), true),
            (json!(1e-12), json!(2e-12), false),
            (json!(1e-13), json!(0), true),
            (json!(1_000_000_001_i64), json!(1_000_000_000_i64), false),
            (json!({"a": 1, "b": 2}), json!({"b": 2, "a": 1}), false),
            (json!(null), json!(0), false),
        ] {
            assert_eq!(is_same(&given, &wanted), same, "{given} {wanted}");
        }
    }
}
