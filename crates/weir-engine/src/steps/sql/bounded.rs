//! Functions that make much out of little, with a bound on how much: a few
//! bytes of SQL must not ask for gigabytes.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use weir_core::{Error, Kind};

use crate::plan::external;

/// Values, or characters, that one call may make for a batch of rows.
const MOST: i64 = 4_000_000;

/// How much a call makes of its arguments.
#[derive(Debug, Clone, Copy)]
enum Makes {
    /// As many as the numbers from the first argument to the second, by the third.
    Range,
    /// As many as the argument at this place says.
    Times(usize),
    /// Copies of the text in the first argument, as many as the second says.
    Copies,
}

const GROWING: [(&str, Makes); 8] = [
    ("range", Makes::Range),
    ("generate_series", Makes::Range),
    ("array_repeat", Makes::Times(1)),
    ("array_resize", Makes::Times(1)),
    ("repeat", Makes::Copies),
    ("lpad", Makes::Times(1)),
    ("rpad", Makes::Times(1)),
    ("space", Makes::Times(0)),
];

/// `function`, with a bound where it needs one.
pub(super) fn bounded(function: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    let found = GROWING.iter().find(|(name, _)| *name == function.name());
    let Some((_, makes)) = found else {
        return function;
    };
    Arc::new(ScalarUDF::new_from_impl(Bounded {
        inner: function,
        makes: *makes,
    }))
}

#[derive(Debug)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    makes: Makes,
}

impl PartialEq for Bounded {
    fn eq(&self, other: &Self) -> bool {
        self.inner == other.inner
    }
}

impl Eq for Bounded {}

impl Hash for Bounded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl Bounded {
    fn check(&self, args: &[ColumnarValue], rows: usize) -> PlanResult<()> {
        let mut sum = 0_i64;
        let places: Vec<Option<ArrayRef>> = args.iter().map(|arg| numbers(arg, rows)).collect();
        let lengths = args.first().map(|text| lengths(text, rows));
        for row in 0..rows {
            let number = |place: usize| {
                let array = places.get(place)?.as_ref()?.as_primitive::<Int64Type>();
                array.is_valid(row).then(|| array.value(row))
            };
            let made = match self.makes {
                Makes::Times(place) => number(place).unwrap_or(0),
                Makes::Copies => {
                    let length = lengths.as_ref().map_or(1, |lengths| lengths[row]);
                    number(1).unwrap_or(0).max(0).saturating_mul(length)
                }
                Makes::Range => match (number(0), number(1), number(2)) {
                    (Some(stop), None, _) => stop,
                    (Some(start), Some(stop), step) => {
                        let step = step.unwrap_or(1).unsigned_abs().max(1);
                        i64::try_from(start.abs_diff(stop) / step).unwrap_or(i64::MAX)
                    }
                    // Of dates: no more than a number of days, which is checked as such.
                    _ => 0,
                },
            };
            sum = sum.saturating_add(made.max(0));
            if sum > MOST {
                return Err(external(too_much(self.inner.name())));
            }
        }
        Ok(())
    }
}

fn too_much(name: &str) -> Error {
    let message = format!("`{name}` would make more than {MOST} values at once");
    Error::new(Kind::TooLarge, message)
        .code("too_large_to_compute")
        .hint("ask for fewer, or make them where the rows come from")
}

/// An argument as whole numbers, where it has any.
fn numbers(arg: &ColumnarValue, rows: usize) -> Option<ArrayRef> {
    let array = arg.to_array(rows).ok()?;
    let countable = array.data_type().is_integer()
        || matches!(array.data_type(), DataType::Date32 | DataType::Date64);
    let array = match array.data_type() {
        DataType::Date32 => cast(&array, &DataType::Int32).ok()?,
        _ if countable => array,
        _ => return None,
    };
    cast(&array, &DataType::Int64).ok()
}

fn lengths(arg: &ColumnarValue, rows: usize) -> Vec<i64> {
    let array = arg
        .to_array(rows)
        .and_then(|array| Ok(cast(&array, &DataType::LargeUtf8)?));
    let Ok(array) = array else {
        return vec![1; rows];
    };
    let texts = array.as_string::<i64>();
    (0..rows).map(|row| texts.value_length(row)).collect()
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, args: &[DataType]) -> PlanResult<DataType> {
        self.inner.return_type(args)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> PlanResult<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, args: &[DataType]) -> PlanResult<Vec<DataType>> {
        self.inner.coerce_types(args)
    }

    fn simplify(&self, args: Vec<Expr>, _: &SimplifyContext) -> PlanResult<ExprSimplifyResult> {
        // The function itself would be put in our place.
        Ok(ExprSimplifyResult::Original(args))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        self.check(&args.args, args.number_rows)?;
        self.inner.invoke_with_args(args)
    }
}

/// Whether a function is one with a bound.
#[cfg(test)]
fn is_bounded(function: &ScalarUDF) -> bool {
    (function.inner().as_ref() as &dyn std::any::Any).is::<Bounded>()
}

#[cfg(test)]
mod tests {
    use datafusion::execution::SessionStateDefaults;

    use super::*;

    #[test]
    fn what_grows_is_bounded_under_every_name_there_is() {
        let functions = SessionStateDefaults::default_scalar_functions();
        let found = functions.into_iter().map(bounded);
        let found: Vec<_> = found.filter(|function| is_bounded(function)).collect();
        let names: Vec<&str> = found.iter().map(|function| function.name()).collect();
        for name in [
            "range",
            "generate_series",
            "array_repeat",
            "array_resize",
            "repeat",
            "lpad",
            "rpad",
        ] {
            assert!(names.contains(&name), "{names:?}");
        }
    }
}
