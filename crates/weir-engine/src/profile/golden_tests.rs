//! The golden cases of the profile, run in process.

use std::path::{Path, PathBuf};

use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use serde_json::{Map, Value};
use weir_core::Error;
use weir_values::ColumnKind;

use super::ProfileOptions;
use crate::steps::testing::{batches, context, engine, schema};
use crate::steps::{Pipeline, Side, TransformOptions};

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/profile");
    let files = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    files.sort();
    files
}

/// The rows as batches; none where types are to be inferred, which formats do.
fn rows_of(data: &Value) -> Option<Side> {
    let columns = data.get("columns")?.as_array()?.iter().map(|column| {
        let type_ = column.get("type")?.as_str()?;
        // Bytes are written otherwise here than in requests.
        (type_ != "binary").then_some((column["name"].as_str()?, type_))
    });
    let columns: Vec<(&str, &str)> = columns.collect::<Option<_>>()?;
    let row = |row: &Value| {
        let cells = columns.iter().zip(row.as_array().unwrap());
        let cells = cells.map(|((name, _), cell)| ((*name).to_owned(), cell.clone()));
        Value::Object(cells.collect::<Map<_, _>>())
    };
    let rows = data["rows"].as_array()?.iter().map(row).collect();
    let schema = schema(&columns);
    let made = batches(&schema, &rows);
    // Like those of bodies it must not be asked again once it has ended.
    let next =
        |mut left: std::vec::IntoIter<RecordBatch>| async move { Some((Ok(left.next()?), left)) };
    Some(Side {
        schema,
        stream: futures::stream::unfold(made.into_iter(), next).boxed(),
    })
}

fn kinds_of(case: &Value) -> Option<Vec<(String, ColumnKind)>> {
    let given = case["column_types"].as_object().into_iter().flatten();
    given
        .map(|(name, kind)| Some((name.clone(), ColumnKind::from_name(kind.as_str()?)?)))
        .collect()
}

async fn profiled(case: &Value, rows: Side) -> Result<Value, Error> {
    let dir = tempfile::tempdir().unwrap();
    let (engine, ctx) = (engine(dir.path()), context(256 << 20));
    let steps = case["steps"].as_array().cloned().unwrap_or_default();
    let pipeline = Pipeline::parse(&steps, "/steps")?;
    let given = TransformOptions {
        kinds: kinds_of(case).unwrap(),
        ..TransformOptions::default()
    };
    let (side, kinds) = match steps.is_empty() {
        true => (rows, given.kinds),
        false => {
            let through = engine.transform(rows, &pipeline, &given, &ctx).await?;
            let side = Side {
                schema: through.schema,
                stream: through.stream,
            };
            (side, through.kinds)
        }
    };
    let options = ProfileOptions {
        kinds,
        clean: case["clean"].as_bool().unwrap_or(true),
        approximate: case["approximate"].as_bool().unwrap_or(false),
        ..ProfileOptions::default()
    };
    let profile = engine.profile(side, &options, &ctx).await?;
    Ok(serde_json::from_str(&serde_json::to_string(&profile).unwrap()).unwrap())
}

fn is_same(given: &Value, wanted: &Value) -> bool {
    match (given, wanted) {
        (Value::Number(given), Value::Number(wanted)) => {
            let (given, wanted) = (given.to_string(), wanted.to_string());
            if let (Ok(given), Ok(wanted)) = (given.parse::<i128>(), wanted.parse::<i128>()) {
                return given == wanted;
            }
            let (given, wanted): (f64, f64) = (given.parse().unwrap(), wanted.parse().unwrap());
            let most = if wanted == 0.0 {
                1e-12
            } else {
                1e-9 * wanted.abs()
            };
            (given - wanted).abs() <= most
        }
        (Value::Array(given), Value::Array(wanted)) => {
            let mut pairs = given.iter().zip(wanted);
            given.len() == wanted.len() && pairs.all(|(given, wanted)| is_same(given, wanted))
        }
        // In their order.
        (Value::Object(given), Value::Object(wanted)) => {
            let mut pairs = given.iter().zip(wanted);
            given.len() == wanted.len()
                && pairs.all(|((a, given), (b, wanted))| a == b && is_same(given, wanted))
        }
        _ => given == wanted,
    }
}

/// What of the members that are wanted is not there.
fn lacking(at: &str, given: &Value, wanted: &Value) -> Vec<String> {
    let members = wanted.as_object().into_iter().flatten();
    members
        .filter(|(name, wanted)| !given.get(name).is_some_and(|given| is_same(given, wanted)))
        .map(|(name, wanted)| {
            let given = given
                .get(name)
                .map_or("absent".to_owned(), Value::to_string);
            format!("{at}{name}: {given}, not {wanted}")
        })
        .collect()
}

fn faults(given: &Value, expect: &Value) -> Vec<String> {
    let mut faults = lacking("", &given["dataset"], &expect["dataset"]);
    let Some(wanted) = expect["columns"].as_object() else {
        return faults;
    };
    let names = given["columns"].as_object().unwrap().keys();
    let shown: Vec<&String> = names.filter(|name| wanted.contains_key(*name)).collect();
    if shown != wanted.keys().collect::<Vec<_>>() {
        faults.push(format!("columns {shown:?}"));
    }
    for (name, wanted) in wanted {
        let column = &given["columns"][name];
        for part in ["type", "rule", "confidence"] {
            if wanted
                .get(part)
                .is_some_and(|wanted| !is_same(&column[part], wanted))
            {
                faults.push(format!(
                    "{name} {part}: {}, not {}",
                    column[part], wanted[part]
                ));
            }
        }
        let (at, statistics) = (format!("{name} "), &column["statistics"]);
        faults.extend(lacking(&at, statistics, &wanted["statistics"]));
        let absent = wanted["absent"].as_array().into_iter().flatten();
        let there =
            absent.filter_map(|part| part.as_str().filter(|part| statistics.get(part).is_some()));
        faults.extend(there.map(|part| format!("{name} has {part}")));
    }
    faults
}

fn refused(expect: &Value, error: &Error) -> Vec<String> {
    let at = error.fields().first().map(|field| field.pointer.as_str());
    let is_there = expect["pointer"]
        .as_str()
        .is_none_or(|wanted| at == Some(wanted));
    let code = expect["code"].as_str();
    let is_coded = code.is_none_or(|code| code == error.stable_code());
    match expect.get("status").is_some() && is_there && is_coded {
        true => Vec::new(),
        false => vec![format!("refused: {error:?}")],
    }
}

async fn run(case: &Value) -> Option<Vec<String>> {
    let rows = rows_of(&case["data"])?;
    // Names of types that are none are refused where requests are read.
    kinds_of(case)?;
    let expect = &case["expect"];
    Some(match profiled(case, rows).await {
        Ok(_) if expect.get("status").is_some() => vec!["no refusal".to_owned()],
        Ok(given) => faults(&given, expect),
        Err(error) => refused(expect, &error),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn golden_cases_hold() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for path in files() {
        let cases: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for case in cases.as_array().unwrap() {
            let Some(faults) = run(case).await else {
                continue;
            };
            count += 1;
            if !faults.is_empty() {
                let file = path.file_stem().unwrap().to_string_lossy().into_owned();
                wrong.push(format!(
                    "{file}: {}\n    {}",
                    case["name"],
                    faults.join("\n    ")
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {count} cases differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(count > 300, "{count}");
}
