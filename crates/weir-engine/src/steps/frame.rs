//! A table on its way through the steps: the plan that makes it, and what the
//! next step sees of it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::Column;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, Extension, Filter, LogicalPlan, Projection};
use serde_json::Value;
use weir_core::source::unknown_column;
use weir_core::{BatchStream, Error, Result};
use weir_values::ColumnKind;

use super::at::At;
use super::enter::Enter;
use super::env::Side;
use super::function::{RowFunction, Udf};
use super::operator::{Operator, OperatorNode};
use super::report::Tally;
use crate::plan::{StreamTable, ours};

/// A table on its way.
pub struct Frame {
    plan: LogicalPlan,
    schema: SchemaRef,
    kinds: Vec<Option<ColumnKind>>,
    tally: Arc<Tally>,
    side: Option<(SchemaRef, LogicalPlan)>,
    late: Option<Late>,
}

/// An operator at the end of a plan whose types depend on the rows, and the plan
/// before it.
pub(super) struct Late {
    pub(super) operator: Arc<dyn Operator>,
    pub(super) plan: LogicalPlan,
    pub(super) schema: SchemaRef,
    pub(super) kinds: Vec<Option<ColumnKind>>,
}

/// What the columns of `schema` mean that come from those of `before`.
fn kinds_in(
    schema: &Schema,
    before: &Schema,
    kinds: &[Option<ColumnKind>],
) -> Vec<Option<ColumnKind>> {
    let kind_of = |field: &FieldRef| {
        let index = before.index_of(field.name()).ok()?;
        let same = before.field(index).data_type() == field.data_type();
        kinds[index].filter(|_| same)
    };
    schema.fields().iter().map(kind_of).collect()
}

/// A column of a projection.
pub struct Out {
    name: String,
    made: Made,
}

enum Made {
    Kept(usize),
    Called(Arc<dyn RowFunction>, Vec<usize>, Option<ColumnKind>),
}

impl Out {
    /// A column as it is, under `name`.
    pub fn keep_as(index: usize, name: impl Into<String>) -> Self {
        Out {
            name: name.into(),
            made: Made::Kept(index),
        }
    }

    /// What `function` gives for the columns `inputs`.
    pub fn call(
        name: impl Into<String>,
        function: Arc<dyn RowFunction>,
        inputs: Vec<usize>,
    ) -> Self {
        Out {
            name: name.into(),
            made: Made::Called(function, inputs, None),
        }
    }

    /// The same; the caller's word on what the column means still holds.
    #[must_use]
    pub fn meaning(mut self, meant: Option<ColumnKind>) -> Self {
        if let Made::Called(_, _, kind) = &mut self.made {
            *kind = meant;
        }
        self
    }
}

impl Frame {
    /// The table `input` of `schema`, whose names are unique.
    pub(crate) fn new(plan: LogicalPlan, schema: SchemaRef) -> Self {
        Frame {
            plan,
            kinds: vec![None; schema.fields().len()],
            schema,
            tally: Arc::default(),
            side: None,
            late: None,
        }
    }

    /// Says what columns mean, by name.
    pub(crate) fn mean(&mut self, kinds: &[(String, ColumnKind)], pointer: &str) -> Result<()> {
        for (name, kind) in kinds {
            let at = format!("{pointer}/{}", weir_core::config::escape_pointer(name));
            let index = self.index(name, &at)?;
            self.kinds[index] = Some(*kind);
        }
        Ok(())
    }

    /// Says what columns mean, as far as there are any of these names.
    pub(crate) fn mean_where_known(&mut self, kinds: &[(String, ColumnKind)]) {
        for (name, kind) in kinds {
            if let Some(index) = self.find(name) {
                self.kinds[index] = Some(*kind);
            }
        }
    }

    /// What columns mean of which that was said, by name.
    pub(crate) fn meant(&self) -> Vec<(String, ColumnKind)> {
        let named = self.schema.fields().iter().zip(&self.kinds);
        named
            .filter_map(|(field, kind)| Some((field.name().clone(), (*kind)?)))
            .collect()
    }

    /// Begins the next step.
    pub(crate) fn step(mut self, tally: Arc<Tally>, side: Option<Side>) -> Result<Self> {
        self.tally = tally;
        self.late = None;
        self.side = match side {
            None => None,
            Some(side) => {
                let table = StreamTable::once(Arc::clone(&side.schema), Some(side.stream));
                let scan = super::lower::table("side", table)?;
                let entered = Frame::new(scan, side.schema).operate(Arc::new(Enter))?;
                Some((entered.schema, entered.plan))
            }
        };
        Ok(self)
    }

    pub(crate) fn into_plan(self) -> (LogicalPlan, SchemaRef) {
        (self.plan, self.schema)
    }

    /// The columns; their names are unique.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// A column's field.
    pub fn field(&self, index: usize) -> &FieldRef {
        &self.schema.fields()[index]
    }

    /// This step's report.
    pub fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// What the caller says that a column means.
    pub fn kind_of(&self, index: usize) -> Option<ColumnKind> {
        self.kinds[index]
    }

    /// Every name, in order.
    pub fn names(&self) -> Vec<&str> {
        let fields = self.schema.fields().iter();
        fields.map(|field| field.name().as_str()).collect()
    }

    /// The place of a column, or 422 `unknown_column` with the nearest name.
    pub fn index(&self, name: &str, pointer: &str) -> Result<usize> {
        self.find(name)
            .ok_or_else(|| unknown_column(name, &self.names(), pointer))
    }

    /// The place of a column, if there is one.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.schema.fields().iter().position(|f| f.name() == name)
    }

    /// The places of the columns in the argument `columns`.
    pub fn indices(&self, columns: &[String], at: &At) -> Result<Vec<usize>> {
        self.indices_of("columns", columns, at)
    }

    /// The places of the columns in the argument `name`.
    pub fn indices_of(&self, name: &str, columns: &[String], at: &At) -> Result<Vec<usize>> {
        let place = |(n, column): (usize, &String)| self.index(column, &at.item(name, n));
        columns.iter().enumerate().map(place).collect()
    }

    /// Every column as it is, for a projection that changes some.
    pub fn kept(&self) -> Vec<Out> {
        let names = self.schema.fields().iter().map(|field| field.name());
        let keep = |(index, name): (usize, &String)| Out::keep_as(index, name.clone());
        names.enumerate().map(keep).collect()
    }

    /// A projection; its names must be unique.
    pub fn columns(mut self, outs: Vec<Out>) -> Result<Self> {
        let mut exprs = Vec::with_capacity(outs.len());
        let mut fields: Vec<FieldRef> = Vec::with_capacity(outs.len());
        let mut kinds = Vec::with_capacity(outs.len());
        for out in outs {
            let (expr, field, kind) = match out.made {
                Made::Kept(index) => {
                    let field = Field::clone(self.field(index)).with_name(&out.name);
                    (self.column(index), field, self.kinds[index])
                }
                Made::Called(function, inputs, kind) => {
                    let given: Vec<FieldRef> =
                        inputs.iter().map(|i| Arc::clone(self.field(*i))).collect();
                    let field = function.field(&given)?.with_name(&out.name);
                    let args = inputs.iter().map(|index| self.column(*index)).collect();
                    let call = ScalarFunction::new_udf(Udf::scalar(function), args);
                    (Expr::ScalarFunction(call), field, kind)
                }
            };
            exprs.push(match &expr {
                Expr::Column(column) if column.name == out.name => expr,
                _ => expr.alias(out.name),
            });
            fields.push(Arc::new(field.with_nullable(true)));
            kinds.push(kind);
        }
        let projection = Projection::try_new(exprs, Arc::new(self.plan)).map_err(ours)?;
        self.plan = LogicalPlan::Projection(projection);
        self.late = None;
        let metadata = self.schema.metadata().clone();
        self.schema = Arc::new(Schema::new_with_metadata(fields, metadata));
        self.kinds = kinds;
        Ok(self)
    }

    fn column(&self, index: usize) -> Expr {
        Expr::Column(Column::new_unqualified(self.field(index).name().clone()))
    }

    /// Puts what `function` gives in the place of the column `index`. What the
    /// caller said of its meaning still holds where it keeps its type.
    pub fn replace(
        self,
        index: usize,
        function: Arc<dyn RowFunction>,
        inputs: Vec<usize>,
    ) -> Result<Self> {
        self.replace_all(vec![(index, function, inputs)])
    }

    /// The same for several columns at once; each sees the columns as they were.
    pub fn replace_all(
        self,
        changes: Vec<(usize, Arc<dyn RowFunction>, Vec<usize>)>,
    ) -> Result<Self> {
        let mut outs = self.kept();
        for (index, function, inputs) in changes {
            let given: Vec<FieldRef> = inputs.iter().map(|i| Arc::clone(self.field(*i))).collect();
            let same = function.field(&given)?.data_type() == self.field(index).data_type();
            let kind = self.kinds[index].filter(|_| same);
            let name = self.field(index).name().clone();
            outs[index] = Out::call(name, function, inputs).meaning(kind);
        }
        self.columns(outs)
    }

    /// Puts what `function` gives under `name`: in the place of the column of
    /// that name, else last.
    pub fn put(
        self,
        name: &str,
        function: Arc<dyn RowFunction>,
        inputs: Vec<usize>,
    ) -> Result<Self> {
        let mut outs = self.kept();
        let out = Out::call(name, function, inputs);
        match self.find(name) {
            Some(index) => outs[index] = out,
            None => outs.push(out),
        }
        self.columns(outs)
    }

    /// Keeps the rows for which `function`, which gives booleans, is true.
    pub fn filter(mut self, function: Arc<dyn RowFunction>, inputs: Vec<usize>) -> Result<Self> {
        let given: Vec<FieldRef> = inputs.iter().map(|i| Arc::clone(self.field(*i))).collect();
        if function.field(&given)?.data_type() != &DataType::Boolean {
            return Err(Error::internal("a filter that gives no booleans"));
        }
        let args = inputs.iter().map(|index| self.column(*index)).collect();
        let call = ScalarFunction::new_udf(Udf::scalar(function), args);
        let filter = Filter::try_new(Expr::ScalarFunction(call), Arc::new(self.plan));
        self.plan = LogicalPlan::Filter(filter.map_err(ours)?);
        self.late = None;
        Ok(self)
    }

    /// Passes the rows through `operator`.
    pub fn operate(self, operator: Arc<dyn Operator>) -> Result<Self> {
        self.operate_beside(operator, None)
    }

    /// The schema of the second input of this step, if it has one.
    pub fn side_schema(&self) -> Option<SchemaRef> {
        self.side.as_ref().map(|(schema, _)| Arc::clone(schema))
    }

    /// Passes the rows and the second input of this step through `operator`.
    pub fn operate_with_side(mut self, operator: Arc<dyn Operator>) -> Result<Self> {
        let side = self.side.take().map(|(_, plan)| plan);
        self.operate_beside(operator, side)
    }

    fn operate_beside(
        mut self,
        operator: Arc<dyn Operator>,
        side: Option<LogicalPlan>,
    ) -> Result<Self> {
        let schema = nullable(operator.schema(&self.schema)?.as_ref());
        let kinds = kinds_in(&schema, &self.schema, &self.kinds);
        self.late = operator.settles(&self.schema).then(|| Late {
            operator: Arc::clone(&operator),
            plan: self.plan.clone(),
            schema: Arc::clone(&self.schema),
            kinds: self.kinds.clone(),
        });
        let inputs = std::iter::once(self.plan).chain(side).collect();
        let node = OperatorNode::new(operator, inputs, &schema).map_err(ours)?;
        self.plan = LogicalPlan::Extension(Extension {
            node: Arc::new(node),
        });
        self.kinds = kinds;
        self.schema = schema;
        Ok(self)
    }

    /// The operator at the end, if its types depend on the rows.
    pub(super) fn late(&mut self) -> Option<Late> {
        self.late.take()
    }

    /// A table of `schema` behind `late`, without rows where a plan is only looked
    /// at.
    pub(super) fn behind(
        late: &Late,
        schema: &SchemaRef,
        rows: Option<BatchStream>,
    ) -> Result<Self> {
        let schema = nullable(schema);
        let table = StreamTable::once(Arc::clone(&schema), rows);
        let kinds = kinds_in(&schema, &late.schema, &late.kinds);
        let mut frame = Frame::new(super::lower::table("input", table)?, schema);
        frame.kinds = kinds;
        Ok(frame)
    }

    /// A name that no column has: `name`, else `name_2`, `name_3`, …
    pub fn free_name(&self, name: &str) -> String {
        let mut candidate = name.to_owned();
        let mut n = 2;
        while self.find(&candidate).is_some() {
            candidate = format!("{name}_{n}");
            n += 1;
        }
        candidate
    }

    /// Sets a fact of this step's report.
    pub fn note(&self, key: &str, value: impl Into<Value>) {
        self.tally.set(key, value);
    }
}

/// Every column may hold nulls from here on.
pub(crate) fn nullable(schema: &Schema) -> SchemaRef {
    let fields = schema
        .fields()
        .iter()
        .map(|field| match field.is_nullable() {
            true => Arc::clone(field),
            false => Arc::new(Field::clone(field).with_nullable(true)),
        });
    let fields: Vec<FieldRef> = fields.collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}
