//! One of two values, by a condition; and a value without any.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Scalar, new_null_array};
use arrow::compute::kernels::zip::zip;
use arrow::compute::prep_null_mask_filter;
use arrow::datatypes::{DataType, Field, FieldRef};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use weir_core::{Error, Result, config, types};
use weir_values::columns::is_whole;
use weir_values::convert::{Target, convert};
use weir_values::replace::value_of;
use weir_values::texts::fits;

use crate::steps::at::At;
use crate::steps::cells::scalar;
use crate::steps::frame::Frame;
use crate::steps::function::RowFunction;
use crate::steps::report::Tally;
use crate::steps::rows::Matches;

/// A value, or the column that holds it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Source {
    /// The input at this place.
    Column(usize),
    /// A scalar as text; `None` is null.
    Value(Option<String>),
}

/// Picks one of two values.
#[derive(Debug)]
pub(crate) struct Choice {
    condition: Option<(Value, Arc<dyn RowFunction>)>,
    then: Source,
    else_: Source,
    /// What comes out, by name, and whether that is JSON.
    type_: String,
    json: bool,
}

/// The type of a scalar by itself.
fn own_type(value: &Value) -> Option<DataType> {
    match value {
        Value::Bool(_) => Some(DataType::Boolean),
        Value::Number(number) => {
            let whole = weir_values::number::integer(&number.to_string()).is_some()
                && !number.to_string().contains(['.', 'e', 'E']);
            Some(if whole {
                DataType::Int64
            } else {
                DataType::Float64
            })
        }
        Value::String(_) => Some(DataType::Utf8),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The type that holds both; text where nothing else does.
fn common(a: &DataType, b: &DataType) -> DataType {
    let is_date = |t: &DataType| {
        matches!(
            t,
            DataType::Date32 | DataType::Date64 | DataType::Timestamp(..)
        )
    };
    match (a, b) {
        (a, b) if a == b => a.clone(),
        (a, b) if a.is_numeric() && b.is_numeric() => match is_whole(a) && is_whole(b) {
            true => DataType::Int64,
            false => DataType::Float64,
        },
        (a, b) if is_date(a) && is_date(b) => Target::Timestamp.data_type(),
        _ => DataType::Utf8,
    }
}

impl Choice {
    /// The same value in every row.
    pub(super) fn constant(value: Value) -> Result<(Self, Vec<usize>)> {
        let type_ = own_type(&value).unwrap_or(DataType::Utf8);
        let source = Source::Value(scalar(&value, "")?);
        let choice = Choice {
            condition: None,
            then: source.clone(),
            else_: source,
            type_: types::type_name(&type_),
            json: false,
        };
        Ok((choice, Vec::new()))
    }

    /// By a condition over the columns of `frame`, whose places come back.
    pub(super) fn new(
        condition: String,
        then: Value,
        else_: Value,
        frame: &Frame,
        at: &At,
    ) -> Result<(Self, Vec<usize>)> {
        let pointer = at.field("condition");
        let (matches, mut inputs) = Matches::new(Value::from(condition), frame, &pointer)?;
        let matches: Arc<dyn RowFunction> = Arc::new(matches.counted_by(Arc::<Tally>::default()));
        let mut fields: Vec<Option<FieldRef>> = Vec::new();
        let mut sources = Vec::new();
        for (name, value) in [("then", &then), ("else", &else_)] {
            let column = column_of(value, &at.field(name))?;
            let Some(column) = column else {
                fields.push(None);
                sources.push(Source::Value(scalar(value, &at.field(name))?));
                continue;
            };
            let pointer = format!("{}/column", at.field(name));
            let place = frame.index(column, &pointer)?;
            fields.push(Some(Arc::clone(frame.field(place))));
            sources.push(Source::Column(inputs.len()));
            inputs.push(place);
        }
        let (type_, json) =
            result_type([(fields[0].as_ref(), &then), (fields[1].as_ref(), &else_)])?;
        let mut sources = sources.into_iter();
        let mut next = || sources.next().unwrap_or(Source::Value(None));
        let choice = Choice {
            condition: Some((matches.args(), matches)),
            then: next(),
            else_: next(),
            type_,
            json,
        };
        Ok((choice, inputs))
    }

    pub(crate) fn make(args: Value) -> Result<Arc<dyn RowFunction>> {
        #[derive(Deserialize)]
        struct Args {
            condition: Option<Value>,
            then: Source,
            #[serde(rename = "else")]
            else_: Source,
            #[serde(rename = "type")]
            type_: String,
            json: bool,
        }
        let args: Args = config::decode(args)?;
        let condition = match args.condition {
            Some(condition) => Some((condition.clone(), Matches::make(condition)?)),
            None => None,
        };
        Ok(Arc::new(Choice {
            condition,
            then: args.then,
            else_: args.else_,
            type_: args.type_,
            json: args.json,
        }))
    }

    fn result(&self) -> Result<Field> {
        let field = types::parse_field("", &self.type_)?;
        Ok(match self.json {
            true => field.with_metadata(
                types::field_of_type("", "json")
                    .map(|json| json.metadata().clone())
                    .unwrap_or_default(),
            ),
            false => field,
        })
    }

    /// The values of one side, one row long where they are the same in all.
    fn side(
        &self,
        source: &Source,
        inputs: &[ArrayRef],
        field: &Field,
    ) -> Result<(ArrayRef, bool)> {
        let wanted = field.data_type();
        match source {
            Source::Value(None) => Ok((new_null_array(wanted, 1), true)),
            Source::Value(Some(text)) => {
                let one = value_of(field, text)?;
                Ok((one.unwrap_or_else(|| new_null_array(wanted, 1)), true))
            }
            Source::Column(at) => {
                let array = inputs
                    .get(*at)
                    .ok_or_else(|| Error::internal("a choice without its column"))?;
                Ok((fitted(array, wanted)?, false))
            }
        }
    }
}

/// The name in `{"column": name}`.
fn column_of<'a>(value: &'a Value, pointer: &str) -> Result<Option<&'a str>> {
    let Value::Object(fields) = value else {
        return Ok(None);
    };
    match (fields.len(), fields.get("column")) {
        (1, Some(Value::String(name))) => Ok(Some(name)),
        _ => Err(Error::invalid(
            pointer,
            "must be a value or {\"column\": name}",
        )),
    }
}

/// The type of the result by name, and whether it is JSON.
fn result_type(sides: [(Option<&FieldRef>, &Value); 2]) -> Result<(String, bool)> {
    let [(then_field, then), (else_field, else_)] = sides;
    let data_type = match (then_field, else_field) {
        (Some(a), Some(b)) => {
            if types::is_json(a) && types::is_json(b) {
                return Ok((types::type_name(a.data_type()), true));
            }
            common(a.data_type(), b.data_type())
        }
        (Some(field), None) => beside(field, else_)?,
        (None, Some(field)) => beside(field, then)?,
        (None, None) => match (own_type(then), own_type(else_)) {
            (Some(a), Some(b)) => common(&a, &b),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => DataType::Utf8,
        },
    };
    Ok((types::type_name(&data_type), false))
}

/// The type that a column and a scalar share: the column's, where it has such a value.
fn beside(field: &Field, value: &Value) -> Result<DataType> {
    let (Some(own), Some(text)) = (own_type(value), scalar(value, "")?) else {
        return Ok(field.data_type().clone());
    };
    // A text that happens to read as a number stays text; one that names a date is one.
    let is_date = matches!(
        field.data_type(),
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..)
    );
    let kin = own == *field.data_type()
        || (own.is_numeric() && field.data_type().is_numeric())
        || (own == DataType::Utf8 && is_date);
    if kin && value_of(field, &text)?.is_some() {
        return Ok(field.data_type().clone());
    }
    Ok(common(field.data_type(), &own))
}

/// The column as `wanted`.
fn fitted(array: &ArrayRef, wanted: &DataType) -> Result<ArrayRef> {
    if array.data_type() == wanted {
        return Ok(Arc::clone(array));
    }
    let field = Field::new("", array.data_type().clone(), true);
    let target = match wanted {
        DataType::Int64 => Target::Int64,
        DataType::Float64 => Target::Float64,
        DataType::Timestamp(..) => Target::Timestamp,
        DataType::Utf8 => Target::Text,
        _ => return Ok(arrow::compute::cast(array, wanted)?),
    };
    let converted = convert(array, &field, target)?.array;
    match converted.data_type() == wanted {
        true => Ok(converted),
        false => Ok(arrow::compute::cast(&converted, wanted)?),
    }
}

impl RowFunction for Choice {
    fn name(&self) -> &'static str {
        "weir_choice"
    }

    fn args(&self) -> Value {
        let condition = self.condition.as_ref().map(|(args, _)| args);
        json!({"condition": condition, "then": self.then, "else": self.else_, "type": self.type_, "json": self.json})
    }

    fn field(&self, _: &[FieldRef]) -> Result<Field> {
        self.result()
    }

    fn call(&self, inputs: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let field = self.result()?;
        for source in [&self.then, &self.else_] {
            if let Source::Value(Some(text)) = source {
                fits(text.len(), rows)?;
            }
        }
        let hits = match &self.condition {
            None => BooleanArray::from(vec![true; rows]),
            Some((_, matches)) => {
                let seen = inputs.len() - self.columns();
                let hits = matches.call(&inputs[..seen], rows)?;
                let hits = hits.as_boolean();
                match hits.null_count() {
                    0 => hits.clone(),
                    _ => prep_null_mask_filter(hits),
                }
            }
        };
        let (then, is_same) = self.side(&self.then, inputs, &field)?;
        let (else_, is_else_same) = self.side(&self.else_, inputs, &field)?;
        Ok(match (is_same, is_else_same) {
            (true, true) => zip(&hits, &Scalar::new(then), &Scalar::new(else_))?,
            (true, false) => zip(&hits, &Scalar::new(then), &else_)?,
            (false, true) => zip(&hits, &then, &Scalar::new(else_))?,
            (false, false) => zip(&hits, &then, &else_)?,
        })
    }
}

impl Choice {
    /// How many of the inputs are values, not part of the condition.
    fn columns(&self) -> usize {
        let is_column = |source: &Source| usize::from(matches!(source, Source::Column(_)));
        is_column(&self.then) + is_column(&self.else_)
    }
}
