//! Columns of rows held against those of a target, and types by table.

use arrow::datatypes::{DataType, Field, Schema};
use weir_core::source::unknown_column;
use weir_core::types::field_type_name;
use weir_core::{Error, Kind, Result, SchemaChange};

/// Where a column of the rows goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Into this column of the target.
    At(usize),
    /// Into one that is added.
    New,
}

/// For each column of `rows`, where it goes in a target that has the columns
/// `known`. Names are matched exactly; one that is not there is refused with the
/// nearest name, or added where `change` says so.
pub fn place_columns(rows: &Schema, known: &[&str], change: SchemaChange) -> Result<Vec<Place>> {
    let place = |field: &std::sync::Arc<Field>| {
        if let Some(at) = known.iter().position(|name| name == field.name()) {
            return Ok(Place::At(at));
        }
        match change {
            SchemaChange::Evolve => Ok(Place::New),
            SchemaChange::Freeze => {
                let error = unknown_column(field.name(), known, "/schema_change");
                Err(error.hint(
                    "the target has no such column; schema_change=evolve adds it, or leave it out",
                ))
            }
        }
    };
    rows.fields().iter().map(place).collect()
}

/// One row of a table of types: which Arrow types it is for, and what the system
/// calls the type that holds them.
pub struct TypeRule {
    /// Whether it is for this field.
    pub fits: fn(&Field) -> bool,
    /// The type in the system.
    pub name: fn(&DataType) -> String,
}

/// The type of the first rule that fits; a type that none fits is refused with
/// the name of its column.
pub fn native_type(rules: &[TypeRule], field: &Field) -> Result<String> {
    let rule = rules.iter().find(|rule| (rule.fits)(field));
    rule.map(|rule| (rule.name)(field.data_type()))
        .ok_or_else(|| {
            let (name, type_) = (field.name(), field_type_name(field));
            let message = format!("column `{name}` is {type_}, which the target has no type for");
            Error::new(Kind::Invalid, message)
                .code("unsupported_type")
                .hint("convert the column first, for example to string or json")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_added_or_refused() {
        let field = |name| Field::new(name, DataType::Int64, true);
        let schema = Schema::new(vec![field("b"), field("amuont")]);
        let known = ["a", "b", "amount"];
        let placed = place_columns(&schema, &known, SchemaChange::Evolve).unwrap();
        assert_eq!(placed, [Place::At(1), Place::New]);
        let error = place_columns(&schema, &known, SchemaChange::Freeze).unwrap_err();
        assert_eq!(error.stable_code(), "unknown_column");
        assert!(error.message().contains("did you mean `amount`"), "{error}");
    }

    #[test]
    fn a_type_without_a_rule_names_its_column() {
        let rules = [TypeRule {
            fits: |field| field.data_type().is_integer(),
            name: |_| "bigint".to_owned(),
        }];
        let native = |data_type| native_type(&rules, &Field::new("x", data_type, true));
        assert_eq!(native(DataType::Int8).unwrap(), "bigint");
        let error = native(DataType::Utf8).unwrap_err();
        assert_eq!(error.stable_code(), "unsupported_type");
        assert!(error.message().contains("column `x` is string"), "{error}");
    }
}
