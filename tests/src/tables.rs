//! The golden tables of the transforms: what each case sends, what must come
//! back, and where the two differ. `tests/golden/transforms/README.md` says how
//! a case is written.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value, json};

use crate::{Answer, project};

/// One case.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Unique in its file.
    pub name: String,
    /// The step it is about.
    pub op: String,
    data: Value,
    steps: Value,
    column_types: Option<Value>,
    expect: Expected,
}

/// What a case expects.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    columns: Option<Vec<Map<String, Value>>>,
    rows: Option<Vec<Value>>,
    report: Option<Vec<Map<String, Value>>>,
    tolerance: Option<f64>,
    status: Option<u16>,
    pointer: Option<String>,
    code: Option<String>,
    hint_contains: Option<String>,
}

/// Every case by the name of its file.
pub fn cases() -> BTreeMap<String, Vec<Case>> {
    cases_of("transforms")
}

/// Every golden case of a folder, by the name of its file.
pub(crate) fn cases_of<C: DeserializeOwned>(folder: &str) -> BTreeMap<String, Vec<C>> {
    let folder = project::root().join("tests/golden").join(folder);
    let files = std::fs::read_dir(folder).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let tables = files.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    tables
        .map(|path| {
            let file = path.file_stem().unwrap().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let cases = serde_json::from_str(&text);
            let cases = cases.unwrap_or_else(|error| panic!("{file}.json: {error}"));
            (file, cases)
        })
        .collect()
}

/// How many cases each step has.
pub fn by_step() -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for case in cases().into_values().flatten() {
        *counts.entry(case.op).or_insert(0) += 1;
    }
    counts
}

impl Case {
    /// The body of the request.
    pub fn request(&self) -> Value {
        let mut body = json!({"data": self.data, "steps": self.steps});
        if let Some(types) = &self.column_types {
            body["column_types"] = types.clone();
        }
        body
    }

    /// What is wrong with the answer; nothing where it is as expected.
    pub fn fault(&self, answer: &Answer) -> Option<String> {
        let expect = &self.expect;
        let wanted = expect.status.unwrap_or(200);
        if answer.status != wanted {
            return Some(format!(
                "status {}, not {wanted}: {}",
                answer.status,
                answer.text()
            ));
        }
        let given: Value = match serde_json::from_slice(&answer.body) {
            Ok(given) => given,
            Err(error) => return Some(format!("no JSON, {error}: {}", answer.text())),
        };
        if wanted != 200 {
            return expect.refusal(&given);
        }
        expect
            .columns(&given["columns"])
            .or_else(|| expect.rows(&given))
            .or_else(|| expect.report(&given["report"]))
    }
}

impl Expected {
    fn refusal(&self, problem: &Value) -> Option<String> {
        let first = &problem["errors"][0];
        let pointer = first["pointer"]
            .as_str()
            .unwrap_or("-")
            .trim_start_matches('#');
        if let Some(wanted) = self.pointer.as_deref().filter(|wanted| *wanted != pointer) {
            return Some(format!("pointer {pointer}, not {wanted}: {problem}"));
        }
        if let Some(wanted) = self
            .code
            .as_deref()
            .filter(|wanted| problem["code"] != *wanted)
        {
            return Some(format!("code {}, not {wanted}: {problem}", problem["code"]));
        }
        let texts = [&problem["hint"], &problem["detail"], &first["detail"]];
        let said = |words: &&str| {
            let words = words.to_lowercase();
            let mut texts = texts.iter().filter_map(|text| text.as_str());
            !texts.any(|text| text.to_lowercase().contains(&words))
        };
        let missing = self.hint_contains.as_deref().filter(said);
        missing.map(|words| format!("nothing says `{words}`: {problem}"))
    }

    fn columns(&self, given: &Value) -> Option<String> {
        let wanted = self.columns.as_ref()?;
        let given = given.as_array()?;
        let same = wanted.len() == given.len()
            && wanted.iter().zip(given).all(|(wanted, given)| {
                let mut parts = wanted.iter();
                parts.all(|(part, value)| given[part] == *value)
            });
        let shown = |columns: &dyn std::fmt::Debug| format!("{columns:?}");
        (!same).then(|| {
            format!(
                "columns\n      {}\n    not\n      {}",
                Value::from(given.clone()),
                shown(&json!(wanted).to_string())
            )
        })
    }

    fn rows(&self, given: &Value) -> Option<String> {
        let wanted = self.rows.as_ref()?;
        let names: Vec<&str> = given["columns"]
            .as_array()?
            .iter()
            .map(|column| column["name"].as_str().unwrap_or_default())
            .collect();
        let rows = given["rows"].as_array()?;
        if rows.len() != wanted.len() {
            let shown: Vec<String> = rows.iter().take(10).map(Value::to_string).collect();
            return Some(format!(
                "{} rows, not {}: {}",
                rows.len(),
                wanted.len(),
                shown.join(" ")
            ));
        }
        let tolerance = self.tolerance.unwrap_or(0.0);
        let differs = |(given, wanted): (&Value, &Value)| {
            let by_place = wanted.is_array().then(|| {
                let cells = names.iter().map(|name| given[*name].clone());
                Value::Array(cells.collect())
            });
            !is_same(by_place.as_ref().unwrap_or(given), wanted, tolerance)
        };
        let place = rows.iter().zip(wanted).position(differs)?;
        let row = &rows[place];
        Some(format!(
            "row {place} is\n      {row}\n    not\n      {}",
            wanted[place]
        ))
    }

    fn report(&self, given: &Value) -> Option<String> {
        let wanted = self.report.as_ref()?;
        let tolerance = self.tolerance.unwrap_or(0.0);
        let wanted = Value::from(
            wanted
                .iter()
                .cloned()
                .map(Value::Object)
                .collect::<Vec<_>>(),
        );
        (!holds(given, &wanted, tolerance))
            .then(|| format!("report\n      {given}\n    lacks\n      {wanted}"))
    }
}

/// Whether `given` has everything that `wanted` names; a list may go on behind
/// what is wanted of it.
fn holds(given: &Value, wanted: &Value, tolerance: f64) -> bool {
    match (given, wanted) {
        (Value::Object(given), Value::Object(wanted)) => wanted.iter().all(|(name, wanted)| {
            let given = given.get(name);
            given.is_some_and(|given| holds(given, wanted, tolerance))
        }),
        (Value::Array(given), Value::Array(wanted)) => {
            let mut pairs = given.iter().zip(wanted);
            given.len() >= wanted.len()
                && pairs.all(|(given, wanted)| holds(given, wanted, tolerance))
        }
        _ => is_same(given, wanted, tolerance),
    }
}

/// Whether two values are the same, where numbers may differ by `tolerance` of the
/// larger of 1 and the expected value.
pub(crate) fn is_same_within(given: &Value, wanted: &Value, tolerance: f64) -> bool {
    is_same(given, wanted, tolerance)
}

/// Whether two values are the same: numbers by value, not by how they are written.
fn is_same(given: &Value, wanted: &Value, tolerance: f64) -> bool {
    match (given, wanted) {
        (Value::Number(given), Value::Number(wanted)) => is_number(given, wanted, tolerance),
        (Value::Array(given), Value::Array(wanted)) => {
            let mut pairs = given.iter().zip(wanted);
            given.len() == wanted.len() && pairs.all(|(a, b)| is_same(a, b, tolerance))
        }
        (Value::Object(given), Value::Object(wanted)) => {
            let same = |(name, wanted): (&String, &Value)| {
                let given = given.get(name);
                given.is_some_and(|given| is_same(given, wanted, tolerance))
            };
            given.len() == wanted.len() && wanted.iter().all(same)
        }
        _ => given == wanted,
    }
}

fn is_number(given: &Number, wanted: &Number, tolerance: f64) -> bool {
    let whole = |number: &Number| {
        let signed = number.as_i64().map(i128::from);
        signed.or_else(|| number.as_u64().map(i128::from))
    };
    if let (Some(given), Some(wanted)) = (whole(given), whole(wanted)) {
        return given == wanted;
    }
    match (given.as_f64(), wanted.as_f64()) {
        (Some(given), Some(wanted)) => {
            let most = tolerance * wanted.abs().max(1.0);
            given == wanted || (given - wanted).abs() <= most
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_compare_as_they_mean() {
        for (given, wanted, tolerance, same) in [
            (json!(1), json!(1.0), 0.0, true),
            (json!(1), json!(true), 0.0, false),
            (
                json!(9_007_199_254_740_993_i64),
                json!(9_007_199_254_740_992_i64),
                1.0,
                false,
            ),
            (json!(0.1), json!(0.2), 0.0, false),
            (json!(1000.5), json!(1000.0), 1e-3, true),
            (json!(null), json!(""), 0.0, false),
            (json!([1, {"a": 2.0}]), json!([1.0, {"a": 2}]), 0.0, true),
        ] {
            assert_eq!(
                is_same(&given, &wanted, tolerance),
                same,
                "{given} {wanted}"
            );
        }
        let report = json!([{"op": "a", "n": 1, "list": [1, 2]}, {"op": "b"}]);
        assert!(holds(&report, &json!([{"n": 1}]), 0.0));
        assert!(holds(&report, &json!([{"list": []}]), 0.0));
        assert!(!holds(&report, &json!([{"list": [2]}]), 0.0));
        assert!(!holds(&report, &json!([{}, {}, {}]), 0.0));
    }

    #[test]
    fn names_are_unique_in_their_file() {
        for (file, cases) in cases() {
            let mut names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
            names.sort_unstable();
            let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
            assert_eq!(twice, None, "{file}");
        }
    }
}
