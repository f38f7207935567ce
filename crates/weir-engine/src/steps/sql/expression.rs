//! A SQL expression over the columns of a row.

use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::PhysicalExpr;
use datafusion::sql::planner::PlannerContext;
use datafusion::sql::sqlparser::tokenizer::Token;
use serde::Deserialize;
use serde_json::{Value, json};
use weir_core::{Error, Result, config};

use super::sandbox::{Sandbox, deep, parser, refused, session, syntax};
use crate::steps::enter::finite;
use crate::steps::frame::Frame;
use crate::steps::function::RowFunction;
use crate::steps::report::Tally;

/// The expression `text` over the columns of `frame`, and the places of those it
/// speaks of.
pub(crate) fn expression(
    frame: &Frame,
    text: &str,
    pointer: &str,
) -> Result<(SqlExpression, Vec<usize>)> {
    let expr = deep(|| logical(text, frame.schema(), pointer))?;
    let mut columns: Vec<String> = expr
        .column_refs()
        .into_iter()
        .map(|column| column.name.clone())
        .collect();
    columns.sort_by_key(|name| frame.find(name));
    let places: Vec<usize> = columns.iter().filter_map(|name| frame.find(name)).collect();
    let seen = Schema::new(
        places
            .iter()
            .map(|at| Arc::clone(frame.field(*at)))
            .collect::<Vec<_>>(),
    );
    let physical = physical(text, &seen, pointer)?;
    let data_type = physical
        .data_type(&seen)
        .map_err(|error| refused(error, pointer))?;
    let function = SqlExpression {
        text: text.to_owned(),
        pointer: pointer.to_owned(),
        columns,
        data_type,
        physical: OnceLock::from(physical),
        keeping: None,
    };
    Ok((function, places))
}

fn logical(text: &str, schema: &Schema, pointer: &str) -> Result<Expr> {
    let mut parser = parser(text, pointer)?;
    let parsed = parser
        .parse_expr()
        .map_err(|error| syntax(&error, pointer))?;
    let next = parser.peek_token();
    if next.token != Token::EOF {
        return Err(syntax(&format!("`{next}` is too much"), pointer));
    }
    let schema = DFSchema::try_from(schema.clone()).map_err(|error| refused(error, pointer))?;
    let sandbox = Sandbox::new(None);
    let expr = sandbox
        .planner()
        .sql_to_expr(parsed, &schema, &mut PlannerContext::new())
        .map_err(|error| refused(error, pointer))?;
    one_row(&expr, pointer)?;
    Ok(expr)
}

/// Refuses what speaks of other rows.
fn one_row(expr: &Expr, pointer: &str) -> Result<()> {
    let mut found = false;
    let walked = expr.apply(|part| {
        found |= matches!(
            part,
            Expr::AggregateFunction(_)
                | Expr::WindowFunction(_)
                | Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::Unnest(_)
                | Expr::OuterReferenceColumn(_, _)
        );
        Ok(TreeNodeRecursion::Continue)
    });
    walked.map_err(|error| refused(error, pointer))?;
    if found {
        let message = "an expression speaks of one row: no aggregate, window or subquery";
        return Err(Error::invalid(pointer, message)
            .code("invalid_query")
            .hint("the step `sql` takes a whole SELECT"));
    }
    Ok(())
}

fn physical(text: &str, schema: &Schema, pointer: &str) -> Result<Arc<dyn PhysicalExpr>> {
    deep(|| {
        let expr = logical(text, schema, pointer)?;
        let schema = DFSchema::try_from(schema.clone()).map_err(|error| refused(error, pointer))?;
        session()
            .create_physical_expr(expr, &schema)
            .map_err(|error| refused(error, pointer))
    })
}

/// A SQL expression as a row function.
#[derive(Debug)]
pub(crate) struct SqlExpression {
    text: String,
    pointer: String,
    columns: Vec<String>,
    data_type: DataType,
    physical: OnceLock<Arc<dyn PhysicalExpr>>,
    keeping: Option<Arc<Tally>>,
}

impl SqlExpression {
    pub(crate) fn make(args: Value) -> Result<Arc<dyn RowFunction>> {
        #[derive(Deserialize)]
        struct Args {
            text: String,
            pointer: String,
            columns: Vec<String>,
        }
        let args: Args = config::decode(args)?;
        Ok(Arc::new(SqlExpression {
            text: args.text,
            pointer: args.pointer,
            columns: args.columns,
            data_type: DataType::Null,
            physical: OnceLock::new(),
            keeping: None,
        }))
    }

    /// What it gives.
    pub(crate) fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// Counts the rows for which it is not true as removed.
    pub(super) fn keeping(mut self, tally: Arc<Tally>) -> Self {
        self.keeping = Some(tally);
        self
    }

    fn schema(&self, inputs: impl Iterator<Item = DataType>) -> Schema {
        let fields = self.columns.iter().zip(inputs);
        let fields = fields.map(|(name, data_type)| Field::new(name, data_type, true));
        Schema::new(fields.collect::<Vec<_>>())
    }

    fn physical(&self, schema: &Schema) -> Result<&Arc<dyn PhysicalExpr>> {
        if let Some(physical) = self.physical.get() {
            return Ok(physical);
        }
        let made = physical(&self.text, schema, &self.pointer)?;
        Ok(self.physical.get_or_init(|| made))
    }
}

impl RowFunction for SqlExpression {
    fn name(&self) -> &'static str {
        "weir_expression"
    }

    fn args(&self) -> Value {
        json!({"text": self.text, "pointer": self.pointer, "columns": self.columns})
    }

    fn field(&self, inputs: &[FieldRef]) -> Result<Field> {
        let schema = self.schema(inputs.iter().map(|field| field.data_type().clone()));
        let data_type = self
            .physical(&schema)?
            .data_type(&schema)
            .map_err(|error| refused(error, &self.pointer))?;
        Ok(Field::new("", data_type, true))
    }

    fn call(&self, inputs: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let schema = self.schema(inputs.iter().map(|array| array.data_type().clone()));
        let physical = Arc::clone(self.physical(&schema)?);
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::new(schema), inputs.to_vec(), &options)?;
        let value = deep(|| physical.evaluate(&batch))
            .and_then(|value| value.into_array(rows))
            .map_err(|error| refused(error, &self.pointer))?;
        let value = finite(&value);
        if let Some(tally) = &self.keeping
            && let Some(kept) = value.as_any().downcast_ref::<BooleanArray>()
        {
            tally.add("removed", (rows - kept.true_count()) as u64);
        }
        Ok(value)
    }
}
