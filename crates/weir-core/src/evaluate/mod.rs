//! What a predicate means over batches: the one evaluation that the engine and
//! those connectors use that filter by themselves, so that both keep the same
//! rows. Compiled against a schema first, so that a column or type that does not
//! fit is told before any row flows.

mod literal;

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, LargeStringArray, Scalar,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::{boolean, cmp};
use arrow::compute::{cast, nullif};
use arrow::datatypes::{DataType, Float64Type, Schema};
use arrow::record_batch::RecordBatch;
use regex::{Regex, RegexBuilder};

use crate::error::{Error, Result};
use crate::predicate::{Comparison, Operand, Predicate, Value};
use crate::source::unknown_column;
use crate::types::unique_names;
use literal::{Literal, literal};
pub use literal::{common_type, is_text};

/// A predicate compiled against a schema.
#[derive(Debug)]
pub struct Test(Node);

#[derive(Debug)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Literal {
        column: usize,
        op: Comparison,
        right: Literal,
    },
    Columns {
        left: usize,
        right: usize,
        op: Comparison,
        common: DataType,
    },
    Matches {
        column: usize,
        pattern: Regex,
        negated: bool,
    },
    StartsWith {
        column: usize,
        prefix: String,
    },
    Null(usize),
    NotNull(usize),
    NullOrEmpty(usize),
    Blank(usize),
}

/// A pattern's compiled size at most; larger ones are refused.
const PATTERN_BYTES: usize = 1 << 20;

/// Compiles `predicate` for batches of `schema`.
pub fn compile(predicate: &Predicate, schema: &Schema) -> Result<Test> {
    node(predicate, schema).map(Test)
}

fn node(predicate: &Predicate, schema: &Schema) -> Result<Node> {
    let column = |name: &str| index_of(schema, name);
    let parts = |parts: &[Predicate]| {
        parts
            .iter()
            .map(|part| node(part, schema))
            .collect::<Result<Vec<_>>>()
    };
    Ok(match predicate {
        Predicate::And(all) => Node::All(parts(all)?),
        Predicate::Or(any) => Node::Any(parts(any)?),
        Predicate::Not(part) => Node::Not(Box::new(node(part, schema)?)),
        Predicate::Compare {
            column: name,
            op,
            right,
        } => compare(schema, column(name)?, *op, right)?,
        Predicate::In {
            column: name,
            values,
        } => {
            let index = column(name)?;
            let one = |value| compare_literal(schema, index, Comparison::Eq, value);
            Node::Any(values.iter().map(one).collect::<Result<_>>()?)
        }
        Predicate::Between {
            column: name,
            low,
            high,
        } => {
            let index = column(name)?;
            Node::All(vec![
                compare_literal(schema, index, Comparison::Ge, low)?,
                compare_literal(schema, index, Comparison::Le, high)?,
            ])
        }
        Predicate::Contains {
            column: name,
            pattern,
            negated,
        } => {
            let column = text_column(schema, name)?;
            Node::Matches {
                column,
                pattern: regex(pattern)?,
                negated: *negated,
            }
        }
        Predicate::StartsWith {
            column: name,
            prefix,
        } => Node::StartsWith {
            column: text_column(schema, name)?,
            prefix: prefix.clone(),
        },
        Predicate::IsNull(name) => Node::Null(column(name)?),
        Predicate::IsNotNull(name) => Node::NotNull(column(name)?),
        Predicate::IsNullOrEmpty(name) => Node::NullOrEmpty(column(name)?),
        Predicate::IsBlank(name) => Node::Blank(column(name)?),
    })
}

/// The place of a column. A repeated name is also found by the name it has in
/// the answer: the second `a` is `a_2`.
pub fn place_of(schema: &Schema, name: &str) -> Option<usize> {
    let names = || schema.fields().iter().map(|field| field.name().as_str());
    names().position(|known| known == name).or_else(|| {
        let unique = unique_names(names());
        unique.iter().position(|known| known == name)
    })
}

/// The place of a column, or an error with the nearest name.
pub fn index_of(schema: &Schema, name: &str) -> Result<usize> {
    place_of(schema, name).ok_or_else(|| {
        let known: Vec<&str> = schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        unknown_column(name, &known, "/filter")
    })
}

fn text_column(schema: &Schema, name: &str) -> Result<usize> {
    let index = index_of(schema, name)?;
    if is_text(schema.field(index).data_type()) {
        return Ok(index);
    }
    let message = format!("column `{name}` is not text, so it cannot be searched");
    Err(Error::invalid("/filter", message).code("invalid_filter"))
}

fn regex(pattern: &str) -> Result<Regex> {
    RegexBuilder::new(pattern)
        .size_limit(PATTERN_BYTES)
        .build()
        .map_err(|error| {
            Error::invalid(
                "/filter",
                format!("the pattern is not a valid regular expression: {error}"),
            )
            .code("invalid_filter")
            .hint("put a backslash before characters such as . * ( [ to mean them literally")
        })
}

fn compare(schema: &Schema, column: usize, op: Comparison, right: &Operand) -> Result<Node> {
    match right {
        Operand::Value(value) => compare_literal(schema, column, op, value),
        Operand::Column(name) => {
            let right = index_of(schema, name)?;
            let common = common_type(schema.field(column), schema.field(right))?;
            Ok(Node::Columns {
                left: column,
                right,
                op,
                common,
            })
        }
        Operand::Word(word) => match index_of(schema, word) {
            Ok(_) => compare(schema, column, op, &Operand::Column(word.clone())),
            Err(_) => compare_literal(schema, column, op, &Value::Text(word.clone())),
        },
    }
}

fn compare_literal(schema: &Schema, column: usize, op: Comparison, value: &Value) -> Result<Node> {
    let right = literal(schema.field(column), value, op)?;
    Ok(Node::Literal { column, op, right })
}

impl Test {
    /// Holds where every one of `tests` does.
    pub fn all(tests: Vec<Test>) -> Test {
        Test(Node::All(tests.into_iter().map(|test| test.0).collect()))
    }

    /// Which rows hold; never null.
    pub fn eval(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        self.0.eval(batch)
    }
}

impl Node {
    fn eval(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let rows = batch.num_rows();
        match self {
            Node::All(parts) => fold(parts, batch, true, boolean::and),
            Node::Any(parts) => fold(parts, batch, false, boolean::or),
            Node::Not(part) => Ok(boolean::not(&part.eval(batch)?)?),
            Node::Literal { column, op, right } => {
                let left = comparable(batch.column(*column), &right.common)?;
                holds(
                    *op,
                    kernel(*op)(&left, &Scalar::new(Arc::clone(&right.value)))?,
                )
            }
            Node::Columns {
                left,
                right,
                op,
                common,
            } => {
                let left = comparable(batch.column(*left), common)?;
                let right = comparable(batch.column(*right), common)?;
                holds(*op, kernel(*op)(&left, &right)?)
            }
            Node::Matches {
                column,
                pattern,
                negated,
            } => text_test(batch.column(*column), *negated, |text| {
                pattern.is_match(text) != *negated
            }),
            Node::StartsWith { column, prefix } => {
                text_test(batch.column(*column), false, |text| {
                    text.starts_with(prefix.as_str())
                })
            }
            Node::Null(column) => nulls(batch.column(*column), rows),
            Node::NotNull(column) => Ok(boolean::not(&nulls(batch.column(*column), rows)?)?),
            Node::NullOrEmpty(column) => empty(batch.column(*column), rows, str::is_empty),
            Node::Blank(column) => {
                empty(batch.column(*column), rows, |text| text.trim().is_empty())
            }
        }
    }
}

type Kernel = fn(
    &dyn arrow::array::Datum,
    &dyn arrow::array::Datum,
) -> std::result::Result<BooleanArray, arrow::error::ArrowError>;

fn kernel(op: Comparison) -> Kernel {
    match op {
        Comparison::Eq => cmp::eq,
        Comparison::Ne => cmp::neq,
        Comparison::Lt => cmp::lt,
        Comparison::Le => cmp::lt_eq,
        Comparison::Gt => cmp::gt,
        Comparison::Ge => cmp::gt_eq,
    }
}

/// Two-valued: where either side is null, `Ne` holds and every other does not.
fn holds(op: Comparison, compared: BooleanArray) -> Result<BooleanArray> {
    Ok(settled(&compared, op == Comparison::Ne))
}

fn settled(tested: &BooleanArray, where_null: bool) -> BooleanArray {
    let Some(valid) = tested.nulls() else {
        return tested.clone();
    };
    let bits = if where_null {
        tested.values() | &!valid.inner()
    } else {
        tested.values() & valid.inner()
    };
    BooleanArray::new(bits, None)
}

fn fold(
    parts: &[Node],
    batch: &RecordBatch,
    empty: bool,
    join: fn(
        &BooleanArray,
        &BooleanArray,
    ) -> std::result::Result<BooleanArray, arrow::error::ArrowError>,
) -> Result<BooleanArray> {
    let all = |bit| {
        BooleanArray::new(
            if bit {
                BooleanBuffer::new_set(batch.num_rows())
            } else {
                BooleanBuffer::new_unset(batch.num_rows())
            },
            None,
        )
    };
    parts
        .iter()
        .try_fold(all(empty), |sum, part| Ok(join(&sum, &part.eval(batch)?)?))
}

/// A column in the type it is compared in. In floats NaN is null and −0.0 is 0.0,
/// which the total order of the kernels would tell apart.
pub fn comparable(column: &ArrayRef, common: &DataType) -> Result<ArrayRef> {
    let column = if column.data_type() == common {
        Arc::clone(column)
    } else {
        cast(column, common)?
    };
    let Some(floats) = column.as_primitive_opt::<Float64Type>() else {
        return Ok(column);
    };
    let plain: Float64Array = floats.unary(|x| x + 0.0);
    let is_nan: BooleanArray = BooleanArray::from_unary(&plain, f64::is_nan);
    Ok(nullif(&plain, &is_nan)?)
}

fn nulls(column: &ArrayRef, rows: usize) -> Result<BooleanArray> {
    let bits = match column.logical_nulls() {
        Some(valid) => !valid.inner(),
        None => BooleanBuffer::new_unset(rows),
    };
    let nulls = BooleanArray::new(bits, None);
    if !column.data_type().is_floating() {
        return Ok(nulls);
    }
    let floats = cast(column, &DataType::Float64)?;
    let is_nan = BooleanArray::from_unary(floats.as_primitive::<Float64Type>(), f64::is_nan);
    Ok(boolean::or(&nulls, &settled(&is_nan, false))?)
}

fn texts(column: &ArrayRef) -> Result<LargeStringArray> {
    Ok(cast(column, &DataType::LargeUtf8)?
        .as_string::<i64>()
        .clone())
}

fn text_test(
    column: &ArrayRef,
    where_null: bool,
    test: impl Fn(&str) -> bool,
) -> Result<BooleanArray> {
    Ok(texts(column)?
        .iter()
        .map(|text| Some(text.map_or(where_null, &test)))
        .collect())
}

fn empty(column: &ArrayRef, rows: usize, test: impl Fn(&str) -> bool) -> Result<BooleanArray> {
    if is_text(column.data_type()) {
        return text_test(column, true, test);
    }
    nulls(column, rows)
}
