//! Several files as one table: columns go by name, in the order in which they
//! first appear. A file without a column gives nulls there. Types must be the
//! same; integers widen, and whole numbers become floats where another file has
//! decimals, because types found in text depend on the rows that were looked at.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use weir_core::types::field_type_name;
use weir_core::{Error, Result, SourceFault};

/// The columns of all files so far.
#[derive(Debug, Default)]
pub struct Union {
    columns: Vec<(FieldRef, String)>,
    by_name: HashMap<String, usize>,
}

impl Union {
    /// Adds the columns of the file at `path`.
    pub fn add(&mut self, path: &str, schema: &Schema) -> Result<()> {
        for field in schema.fields() {
            let Some(place) = self.by_name.get(field.name()).copied() else {
                self.by_name
                    .insert(field.name().clone(), self.columns.len());
                let nullable = Field::clone(field).with_nullable(true);
                self.columns.push((Arc::new(nullable), path.to_owned()));
                continue;
            };
            let (known, first) = &mut self.columns[place];
            if known.data_type() == field.data_type() {
                continue;
            }
            let Some(wider) = wider(known.data_type(), field.data_type()) else {
                return Err(disagree(known, first, field, path));
            };
            if wider != *known.data_type() {
                *known = Arc::new(Field::clone(known).with_data_type(wider));
                *first = path.to_owned();
            }
        }
        Ok(())
    }

    /// The columns of all.
    pub fn schema(self) -> SchemaRef {
        let fields: Vec<FieldRef> = self.columns.into_iter().map(|column| column.0).collect();
        Arc::new(Schema::new(fields))
    }
}

/// The type that holds the values of both without loss, or with no more than
/// floats have.
fn wider(a: &DataType, b: &DataType) -> Option<DataType> {
    let rank = |data_type: &DataType| match data_type {
        DataType::Int8 => Some(1),
        DataType::Int16 => Some(2),
        DataType::Int32 => Some(3),
        DataType::Int64 => Some(4),
        DataType::Float32 => Some(5),
        DataType::Float64 => Some(6),
        _ => None,
    };
    match (a, b) {
        (DataType::Null, other) | (other, DataType::Null) => Some(other.clone()),
        (DataType::Float32, int) | (int, DataType::Float32) if int.is_integer() => {
            rank(int).map(|_| DataType::Float64)
        }
        (DataType::Utf8, DataType::LargeUtf8 | DataType::Utf8View)
        | (DataType::LargeUtf8 | DataType::Utf8View, DataType::Utf8) => Some(DataType::Utf8),
        _ => {
            let (first, second) = (rank(a)?, rank(b)?);
            Some(if first >= second { a } else { b }.clone())
        }
    }
}

fn disagree(known: &Field, first: &str, field: &Field, path: &str) -> Error {
    let (one, other) = (field_type_name(known), field_type_name(field));
    Error::source(
        SourceFault::Data,
        format!(
            "column `{}` is {one} in `{first}` and {other} in `{path}`",
            known.name()
        ),
    )
    .code("files_disagree")
    .hint("set its type under `types` in the config, or read the files in several streams")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(columns: &[(&str, DataType)]) -> Schema {
        let field =
            |(name, data_type): &(&str, DataType)| Field::new(*name, data_type.clone(), false);
        Schema::new(columns.iter().map(field).collect::<Vec<_>>())
    }

    #[test]
    fn columns_go_by_name_and_numbers_widen() {
        let mut union = Union::default();
        union
            .add(
                "a",
                &schema(&[("id", DataType::Int32), ("x", DataType::Int64)]),
            )
            .unwrap();
        union
            .add(
                "b",
                &schema(&[
                    ("x", DataType::Float64),
                    ("new", DataType::Utf8),
                    ("id", DataType::Int64),
                ]),
            )
            .unwrap();
        let all = union.schema();
        let told: Vec<String> = all
            .fields()
            .iter()
            .map(|field| format!("{} {}", field.name(), field_type_name(field)))
            .collect();
        assert_eq!(told, ["id int64", "x float64", "new string"]);
        assert!(all.fields().iter().all(|field| field.is_nullable()));
    }

    #[test]
    fn other_differences_name_both_files() {
        let mut union = Union::default();
        union
            .add("a.csv", &schema(&[("id", DataType::Int64)]))
            .unwrap();
        let error = union
            .add("b.csv", &schema(&[("id", DataType::Utf8)]))
            .unwrap_err();
        assert_eq!(error.stable_code(), "files_disagree");
        assert_eq!(
            error.message(),
            "column `id` is int64 in `a.csv` and string in `b.csv`"
        );
    }
}
