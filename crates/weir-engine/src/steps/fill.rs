//! Filling gaps with what the whole column says: mean, median, mode, a sample.
//! One pass gathers while rows are spooled, a second one fills.

use std::sync::Arc;

use arrow::array::Array;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use weir_core::{BatchStream, Result};
use weir_values::ColumnKind;
use weir_values::dice::Dice;
use weir_values::imputation::Strategy;
use weir_values::missing::Missing;

use super::constant::{default_value, needs_value};
use super::env::Env;
use super::facts::{Column, Facts, Gather, Wanted, shown, spooled};
use super::filling::{
    Filling, With, averaged, averaged_type, filled, nothing_there, reads, settled,
};
use super::operator::{Operator, later};
use super::report::Tally;

/// A column with gaps, as a plan writes it down.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Gap {
    pub(super) name: String,
    pub(super) pointer: String,
    /// What the caller says that it means.
    pub(super) kind: Option<ColumnKind>,
}

impl Gap {
    /// The column in `schema`.
    pub(super) fn column(
        &self,
        schema: &Schema,
        strategy: Strategy,
        missing: Missing,
    ) -> Result<Column> {
        let index = weir_core::evaluate::index_of(schema, &self.name)?;
        Ok(Column {
            index,
            name: self.name.clone(),
            pointer: self.pointer.clone(),
            reads: reads(strategy),
            missing,
        })
    }

    pub(super) fn is_number(&self) -> bool {
        self.kind.is_some_and(ColumnKind::is_number)
    }
}

/// `schema` with other types for some columns.
pub(super) fn retyped(schema: &Schema, types: &[(usize, DataType)]) -> SchemaRef {
    let mut fields: Vec<Arc<Field>> = schema.fields().iter().cloned().collect();
    for (index, data_type) in types {
        if fields[*index].data_type() != data_type {
            let field = Field::new(fields[*index].name(), data_type.clone(), true);
            fields[*index] = Arc::new(field);
        }
    }
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// Fills gaps of columns, each with what the strategy finds for it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Fill {
    pub(super) strategy: Strategy,
    /// Whether blank text is missing too.
    pub(super) blanks: bool,
    pub(super) gaps: Vec<Gap>,
    pub(super) seed: u64,
    #[serde(skip)]
    pub(super) tally: Arc<Tally>,
}

impl Fill {
    fn columns(&self, schema: &Schema) -> Result<Vec<Column>> {
        let missing = if self.blanks {
            Missing::Blanks
        } else {
            Missing::Nulls
        };
        let column = |gap: &Gap| gap.column(schema, self.strategy, missing);
        self.gaps.iter().map(column).collect()
    }

    fn types(&self, schema: &Schema) -> Result<Vec<(usize, DataType)>> {
        let mut types = Vec::new();
        for (gap, column) in self.gaps.iter().zip(self.columns(schema)?) {
            let data_type = match self.strategy {
                Strategy::Average | Strategy::Median => {
                    averaged_type(schema, &column, gap.is_number())?
                }
                _ => column.data_type(schema),
            };
            types.push((column.index, data_type));
        }
        Ok(types)
    }

    fn wanted(&self, n: usize) -> Wanted {
        match self.strategy {
            Strategy::Average => Wanted {
                moments: true,
                ..Wanted::default()
            },
            Strategy::Median => Wanted {
                moments: true,
                quantiles: vec![0.5],
                ..Wanted::default()
            },
            Strategy::Mode => Wanted {
                mode: true,
                ..Wanted::default()
            },
            Strategy::Random => Wanted {
                sample: Some(Dice::new(self.seed, 2 * n as u64)),
                ..Wanted::default()
            },
            Strategy::Constant
            | Strategy::Sequential
            | Strategy::Column
            | Strategy::RowRm
            | Strategy::Auto => Wanted {
                kind: true,
                ..Wanted::default()
            },
        }
    }

    /// What fills a column; `to` is what it is from then on, and `from` what it is
    /// where its type is settled late.
    fn with(
        &self,
        n: usize,
        column: &Column,
        facts: Facts,
        to: &Field,
        from: Option<&DataType>,
    ) -> Result<With> {
        let missing = facts.runs.missing;
        let is_empty = facts.runs.rows == 0;
        let value = match self.strategy {
            Strategy::Average | Strategy::Median => match from {
                Some(from) => settled(self.strategy, &facts, from, to.data_type())?,
                None => averaged(self.strategy, &facts, to.data_type())?,
            },
            Strategy::Mode => match facts.top {
                Some(top) => top.value,
                None if is_empty => return Ok(With::Nothing),
                None => return Err(nothing_there(column, self.strategy)),
            },
            Strategy::Random => {
                return match facts.pool {
                    Some(pool) if !pool.is_empty() => {
                        self.tell(column, missing, json!({"sampled": facts.is_sampled}));
                        let dice = Dice::new(self.seed, 2 * n as u64 + 1);
                        Ok(With::Picks(pool, dice))
                    }
                    _ if is_empty => Ok(With::Nothing),
                    _ => Err(nothing_there(column, self.strategy)),
                };
            }
            _ => {
                let found = facts.detected.map_or(ColumnKind::Text, |found| found.kind);
                let kind = self.gaps[n].kind.unwrap_or(found);
                match default_value(to, kind) {
                    Some(value) => value,
                    None if missing == 0 => return Ok(With::Nothing),
                    None => return Err(needs_value(to, &column.pointer)),
                }
            }
        };
        let filled = if value.is_null(0) { 0 } else { missing };
        self.tell(column, filled, json!({"value": shown(&value)}));
        Ok(With::Value(value))
    }

    /// Reports what became of a column.
    fn tell(&self, column: &Column, filled: u64, facts: Value) {
        let mut entry = json!({"strategy": self.strategy.name()});
        if let (Value::Object(entry), Value::Object(facts)) = (&mut entry, facts) {
            entry.extend(facts);
        }
        self.tally.set_of("columns", &column.name, entry);
        self.tally.count("filled", &column.name, filled);
    }

    /// The filled rows. Where types are settled late, columns of whole numbers
    /// whose value is whole stay so.
    async fn rows(
        self: Arc<Self>,
        input: BatchStream,
        schema: SchemaRef,
        env: Env,
        is_late: bool,
    ) -> Result<(SchemaRef, BatchStream)> {
        let columns = self.columns(&schema)?;
        let mut types = self.types(&schema)?;
        let made = retyped(&schema, &types);
        let wanted = columns.iter().cloned().enumerate();
        let wanted = wanted.map(|(n, column)| (column, self.wanted(n)));
        let mut gather = Gather::new(wanted.collect(), &schema, &env)?;
        let spooled = spooled(input, &schema, &env, &mut gather).await?;
        let facts = gather.finish(&spooled).await?;
        let mut fillings = Vec::with_capacity(columns.len());
        for (n, (column, facts)) in columns.into_iter().zip(facts).enumerate() {
            let from = is_late.then(|| schema.field(column.index).data_type());
            let with = self.with(n, &column, facts, made.field(column.index), from)?;
            if let With::Value(value) = &with {
                types[n].1 = value.data_type().clone();
            }
            let to = types[n].1.clone();
            fillings.push(Filling { column, to, with });
        }
        let made = retyped(&schema, &types);
        let rows = filled(spooled.read(), Arc::clone(&made), fillings);
        Ok((made, rows))
    }
}

impl Operator for Fill {
    fn name(&self) -> &'static str {
        "weir_fill"
    }

    fn schema(&self, input: &SchemaRef) -> Result<SchemaRef> {
        Ok(retyped(input, &self.types(input)?))
    }

    fn run(self: Arc<Self>, input: BatchStream, schema: SchemaRef, env: Env) -> BatchStream {
        later(
            self.rows(input, schema, env, false)
                .map_ok(|(_, rows)| rows),
        )
    }

    fn settles(&self, input: &SchemaRef) -> bool {
        let is_whole = |gap: &Gap| {
            let field = input.field_with_name(&gap.name);
            field.is_ok_and(|field| field.data_type().is_integer())
        };
        matches!(self.strategy, Strategy::Average | Strategy::Median)
            && self.gaps.iter().any(is_whole)
    }

    fn settle(
        self: Arc<Self>,
        input: BatchStream,
        schema: SchemaRef,
        env: Env,
    ) -> BoxFuture<'static, Result<(SchemaRef, BatchStream)>> {
        self.rows(input, schema, env, true).boxed()
    }
}
