//! What sinks share: keys and columns held against what is there, the text of
//! statements that make tables, and batches cut by bytes.
//!
//! What a write may name is checked before anything is opened, so that a wrong
//! request costs the target nothing; what a row holds is checked while it passes.

mod columns;
mod statement;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::Schema;
use weir_core::sink::bad_row;
use weir_core::source::unknown_column;
use weir_core::{Error, Kind, Result, StreamId, Write, WriteMode, memory_of};

pub use columns::{Place, TypeRule, native_type, place_columns};
pub use statement::{NewColumn, create_table};

/// Checks what can be told of a write and the schema of its rows alone. Gives
/// the places of the keys in the schema.
pub fn check(write: &Write, schema: &Schema) -> Result<Vec<usize>> {
    write.mode.check_keys(&write.keys)?;
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    if names.is_empty() {
        return Err(Error::new(Kind::Invalid, "the rows have no columns")
            .code("no_columns")
            .hint("send at least one column"));
    }
    for (index, name) in names.iter().enumerate() {
        if name.is_empty() || name.contains('\0') {
            let message = format!("the name of column {} is empty or holds a NUL", index + 1);
            return Err(Error::new(Kind::Invalid, message).code("bad_column_name"));
        }
        if names[..index].contains(name) {
            let message = format!("two columns are called `{name}`");
            return Err(Error::new(Kind::Invalid, message).code("bad_column_name"));
        }
    }
    let place = |key: &String| {
        let found = names.iter().position(|name| name == key);
        found.ok_or_else(|| unknown_column(key, &names, "/keys"))
    };
    write.keys.iter().map(place).collect()
}

/// Refuses rows of `batch` with nulls in the columns at `places`. `first` is the
/// number of its first row, from 0.
pub fn refuse_nulls(batch: &RecordBatch, places: &[usize], first: u64, why: &str) -> Result<()> {
    let mut bad: Option<(usize, usize)> = None;
    for place in places {
        let Some(nulls) = batch.column(*place).logical_nulls() else {
            continue;
        };
        let row = (0..nulls.len()).find(|row| nulls.is_null(*row));
        if let Some(row) = row
            && bad.is_none_or(|(worst, _)| row < worst)
        {
            bad = Some((row, *place));
        }
    }
    let Some((row, place)) = bad else {
        return Ok(());
    };
    let schema = batch.schema();
    let name = schema.field(place).name();
    Err(bad_row(first + row as u64, Some(name), why))
}

/// What [`refuse_nulls`] says of keys.
pub const NULL_KEY: &str = "null in a key, which tells no row from another";

/// Cuts a batch into pieces of about `bytes`, a row at least, without copying.
pub fn pieces(batch: RecordBatch, bytes: usize) -> impl Iterator<Item = RecordBatch> {
    let rows = batch.num_rows();
    let parts = memory_of(&batch).div_ceil(bytes.max(1)).max(1);
    let step = rows.div_ceil(parts).max(1);
    (0..rows)
        .step_by(step)
        .map(move |from| batch.slice(from, step.min(rows - from)))
}

/// The stream is there, and mode `fail` wants that it is not.
pub fn stream_exists(stream: &StreamId) -> Error {
    Error::new(Kind::Conflict, format!("{stream} is there already"))
        .code("stream_exists")
        .hint("write with mode append, replace, upsert or ignore, or into another stream")
}

/// A mode that a sink does not have.
pub fn unsupported_mode(mode: WriteMode, what: &str, taken: &[WriteMode]) -> Error {
    let taken: Vec<&str> = taken.iter().map(|mode| mode.name()).collect();
    Error::unsupported(format!(
        "{what} cannot be written with mode {}",
        mode.name()
    ))
    .hint(format!("use one of {}", taken.join(", ")))
}

/// Refuses the option of deterministic files where none are written.
pub fn refuse_deterministic(write: &Write, what: &str) -> Result<()> {
    if !write.deterministic {
        return Ok(());
    }
    Err(
        Error::unsupported(format!("`deterministic` is for text files, not for {what}"))
            .hint("leave it out"),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn batch() -> RecordBatch {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(2), None, Some(4)]));
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, None, Some("d")]));
        RecordBatch::try_from_iter([("id", ids), ("name", names)]).unwrap()
    }

    fn write(mode: WriteMode, keys: &[&str]) -> Write {
        Write::new(StreamId::from_parts(["t"]), mode).by(keys)
    }

    #[test]
    fn keys_are_columns_of_the_rows() {
        let schema = batch().schema();
        let check = |mode, keys: &[&str]| check(&write(mode, keys), &schema);
        assert_eq!(check(WriteMode::Upsert, &["name", "id"]).unwrap(), [1, 0]);
        assert_eq!(check(WriteMode::Append, &[]).unwrap(), [0; 0]);
        for (mode, keys, said) in [
            (WriteMode::Upsert, &[][..], "needs the columns"),
            (WriteMode::Append, &["id"], "takes no keys"),
            (WriteMode::Ignore, &["id", "id"], "stands twice"),
            (WriteMode::Upsert, &["nane"], "did you mean `name`"),
        ] {
            let error = check(mode, keys).unwrap_err();
            assert!(error.message().contains(said), "{error}");
            assert_eq!(error.fields()[0].pointer, "/keys");
        }
    }

    #[test]
    fn the_first_null_is_told_by_row_and_column() {
        let batch = batch();
        let error = refuse_nulls(&batch, &[0, 1], 10, NULL_KEY).unwrap_err();
        assert!(
            error.message().starts_with("row 12, column `name`"),
            "{error}"
        );
        assert_eq!(error.fields()[0].pointer, "/11/name");
        assert_eq!(error.stable_code(), "bad_row");
        assert!(refuse_nulls(&batch.slice(0, 1), &[0, 1], 0, NULL_KEY).is_ok());
    }

    #[test]
    fn pieces_are_the_batch() {
        for bytes in [0, 1, 20, 1 << 20] {
            let pieces: Vec<_> = pieces(batch(), bytes).collect();
            let whole = arrow::compute::concat_batches(&batch().schema(), &pieces).unwrap();
            assert_eq!(whole, batch());
        }
        assert_eq!(pieces(batch(), 1).count(), 4);
        assert_eq!(pieces(batch().slice(0, 0), 1).count(), 0);
    }
}
