//! Functions of rows: what a step computes of each row by itself. They are
//! scalar functions of the plan, registered by name, so that plans can be
//! written down and read back.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::internal_err;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, Volatility,
};
use serde_json::Value;
use weir_core::Result;

use crate::plan::external;

/// Computes one column from others, row by row.
pub trait RowFunction: fmt::Debug + Send + Sync + 'static {
    /// The name it is registered by.
    fn name(&self) -> &'static str;

    /// What makes it again; see [`super::functions`].
    fn args(&self) -> Value;

    /// What it gives for `inputs`, without its name.
    fn field(&self, inputs: &[FieldRef]) -> Result<Field>;

    /// The values for `rows` rows.
    fn call(&self, inputs: &[ArrayRef], rows: usize) -> Result<ArrayRef>;
}

/// A row function as DataFusion knows it. Two are the same when they have the
/// same name and arguments; what they count for a report does not matter.
#[derive(Debug)]
pub(crate) struct Udf {
    function: Arc<dyn RowFunction>,
    args: String,
    signature: Signature,
}

impl Udf {
    pub(crate) fn scalar(function: Arc<dyn RowFunction>) -> Arc<ScalarUDF> {
        let args = function.args().to_string();
        Arc::new(ScalarUDF::new_from_impl(Udf {
            function,
            args,
            signature: Signature::one_of(
                vec![TypeSignature::VariadicAny, TypeSignature::Nullary],
                Volatility::Immutable,
            ),
        }))
    }

    /// The arguments, as text.
    pub(crate) fn args(&self) -> &str {
        &self.args
    }
}

/// The row function behind a scalar function, if it is one of ours.
pub(crate) fn row_function(udf: &ScalarUDF) -> Option<&Udf> {
    (udf.inner().as_ref() as &dyn Any).downcast_ref::<Udf>()
}

impl PartialEq for Udf {
    fn eq(&self, other: &Self) -> bool {
        self.function.name() == other.function.name() && self.args == other.args
    }
}

impl Eq for Udf {}

impl Hash for Udf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name().hash(state);
        self.args.hash(state);
    }
}

impl ScalarUDFImpl for Udf {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> datafusion::error::Result<DataType> {
        internal_err!("a row function is asked for its field")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> datafusion::error::Result<FieldRef> {
        let field = self.function.field(args.arg_fields).map_err(external)?;
        Ok(Arc::new(field.with_name(self.name())))
    }

    fn invoke_with_args(
        &self,
        args: ScalarFunctionArgs,
    ) -> datafusion::error::Result<ColumnarValue> {
        let rows = args.number_rows;
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let array = self.function.call(&arrays, rows).map_err(external)?;
        Ok(ColumnarValue::Array(array))
    }
}
