//! Which row groups and pages a filter rules out, by their statistics.
//!
//! A predicate becomes another one over the least and greatest value, the
//! number of nulls and the number of rows of a piece, which holds unless no row
//! of the piece can be kept. It is evaluated by the same code as filters are,
//! so that text, decimals, NaN and zones compare as they do in rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use parquet::file::metadata::ParquetMetaData;
use weir_core::evaluate::{compile, place_of};
use weir_core::{Comparison, Operand, Predicate, Value};

const ROWS: &str = "rows";

/// A column with statistics: a primitive one at the top.
struct Stated<'a> {
    place: usize,
    statistics: StatisticsConverter<'a>,
    leaf: usize,
}

fn name(kind: &str, place: usize) -> String {
    format!("{kind} {place}")
}

/// Holds unless no row of a piece can be kept. `None`: nothing is known.
fn may_hold(predicate: &Predicate, schema: &Schema) -> Option<Predicate> {
    let column = |column: &str| {
        place_of(schema, column).map(|place| (place, schema.field(place).data_type().clone()))
    };
    let compare = |kind: &str, place: usize, op: Comparison, value: &Value| {
        let name = name(kind, place);
        Predicate::Or(vec![
            Predicate::IsNull(name.clone()),
            Predicate::Compare {
                column: name,
                op,
                right: Operand::Value(value.clone()),
            },
        ])
    };
    let least = |place, op, value: &Value| compare("min", place, op, value);
    let greatest = |place, op, value: &Value| compare("max", place, op, value);
    match predicate {
        // A part of which nothing is known may hold.
        Predicate::And(parts) => {
            let known: Vec<Predicate> = parts
                .iter()
                .filter_map(|part| may_hold(part, schema))
                .collect();
            (!known.is_empty()).then_some(Predicate::And(known))
        }
        Predicate::Or(parts) => parts
            .iter()
            .map(|part| may_hold(part, schema))
            .collect::<Option<_>>()
            .map(Predicate::Or),
        Predicate::Compare {
            column: name,
            op,
            right: Operand::Value(value),
        } => {
            let (place, _) = column(name)?;
            match op {
                Comparison::Eq => Some(Predicate::And(vec![
                    least(place, Comparison::Le, value),
                    greatest(place, Comparison::Ge, value),
                ])),
                Comparison::Lt | Comparison::Le => Some(least(place, *op, value)),
                Comparison::Gt | Comparison::Ge => Some(greatest(place, *op, value)),
                Comparison::Ne => None,
            }
        }
        Predicate::In { column, values } => {
            let equal = |value: &Value| Predicate::Compare {
                column: column.clone(),
                op: Comparison::Eq,
                right: Operand::Value(value.clone()),
            };
            may_hold(&Predicate::Or(values.iter().map(equal).collect()), schema)
        }
        Predicate::Between {
            column: name,
            low,
            high,
        } => {
            let (place, _) = column(name)?;
            Some(Predicate::And(vec![
                greatest(place, Comparison::Ge, low),
                least(place, Comparison::Le, high),
            ]))
        }
        Predicate::StartsWith {
            column: name,
            prefix,
        } => {
            let (place, _) = column(name)?;
            let text = Value::Text(prefix.clone());
            Some(Predicate::And(vec![
                greatest(place, Comparison::Ge, &text),
                Predicate::Or(vec![
                    least(place, Comparison::Le, &text),
                    Predicate::StartsWith {
                        column: self::name("min", place),
                        prefix: prefix.clone(),
                    },
                ]),
            ]))
        }
        Predicate::IsNull(name) => {
            // NaN is null, and no statistic counts it.
            let (place, data_type) = column(name)?;
            (!data_type.is_floating())
                .then(|| compare("nulls", place, Comparison::Gt, &Value::Int(0)))
        }
        Predicate::IsNotNull(name) => {
            let (place, _) = column(name)?;
            Some(Predicate::Compare {
                column: self::name("nulls", place),
                op: Comparison::Ne,
                right: Operand::Column(ROWS.to_owned()),
            })
        }
        _ => None,
    }
}

/// The statistics of a column, for as many pieces as there are.
struct Facts {
    place: usize,
    min: ArrayRef,
    max: ArrayRef,
    nulls: UInt64Array,
}

/// Which pieces may have rows that `predicate` keeps; `None` when nothing is known.
fn evaluate(
    predicate: &Predicate,
    schema: &Schema,
    facts: &[Facts],
    rows: UInt64Array,
) -> Option<BooleanArray> {
    let predicate = may_hold(predicate, schema)?;
    let mut fields = vec![Field::new(ROWS, DataType::UInt64, true)];
    let mut columns: Vec<ArrayRef> = vec![Arc::new(rows)];
    for fact in facts {
        let nulls: ArrayRef = Arc::new(fact.nulls.clone());
        for (kind, array) in [("min", &fact.min), ("max", &fact.max), ("nulls", &nulls)] {
            let data_type = array.data_type().clone();
            fields.push(Field::new(name(kind, fact.place), data_type, true));
            columns.push(Arc::clone(array));
        }
    }
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).ok()?;
    // What cannot be compared rules nothing out; the filter itself will tell.
    let test = compile(&predicate, &batch.schema()).ok()?;
    test.eval(&batch).ok()
}

/// What statistics are there for the columns of a predicate.
pub(super) struct Pruner<'a> {
    metadata: &'a ParquetMetaData,
    schema: &'a Schema,
}

impl<'a> Pruner<'a> {
    /// `schema` has one field for each column at the top of the file.
    pub(super) fn new(metadata: &'a ParquetMetaData, schema: &'a Schema) -> Self {
        Pruner { metadata, schema }
    }

    fn stated(&self, predicate: &Predicate) -> Vec<Stated<'a>> {
        let descriptor = self.metadata.file_metadata().schema_descr();
        let mut places: Vec<usize> = predicate
            .columns()
            .iter()
            .filter_map(|name| place_of(self.schema, name))
            .collect();
        places.sort_unstable();
        places.dedup();
        let stated = |place: usize| {
            let leaf = (0..descriptor.num_columns())
                .find(|leaf| descriptor.get_column_root_idx(*leaf) == place)?;
            descriptor
                .root_schema()
                .get_fields()
                .get(place)?
                .is_primitive()
                .then_some(())?;
            let field = self.schema.field(place);
            let statistics =
                StatisticsConverter::from_column_index(leaf, field, descriptor).ok()?;
            Some(Stated {
                place,
                statistics: statistics.with_missing_null_counts_as_zero(false),
                leaf,
            })
        };
        places.into_iter().filter_map(stated).collect()
    }

    /// Writers of old compared bytes in ways of their own.
    fn is_trusted(&self, leaf: usize) -> bool {
        self.metadata.row_groups().iter().all(|group| {
            let statistics = group.column(leaf).statistics();
            statistics.is_none_or(|found| !found.is_min_max_deprecated())
        })
    }

    /// Row groups that may have rows which every predicate keeps.
    pub(super) fn row_groups(&self, predicates: &[Predicate]) -> Vec<usize> {
        let groups = self.metadata.row_groups();
        let rows: UInt64Array = groups
            .iter()
            .map(|group| u64::try_from(group.num_rows()).ok())
            .collect();
        let mut kept: Vec<bool> = groups.iter().map(|group| group.num_rows() > 0).collect();
        for predicate in predicates {
            let facts: Vec<Facts> = self
                .stated(predicate)
                .into_iter()
                .filter(|stated| self.is_trusted(stated.leaf))
                .filter_map(|stated| {
                    Some(Facts {
                        place: stated.place,
                        min: stated.statistics.row_group_mins(groups).ok()?,
                        max: stated.statistics.row_group_maxes(groups).ok()?,
                        nulls: stated.statistics.row_group_null_counts(groups).ok()?,
                    })
                })
                .collect();
            let may = evaluate(predicate, self.schema, &facts, rows.clone());
            for (group, kept) in kept.iter_mut().enumerate() {
                *kept &= may.as_ref().is_none_or(|may| may.value(group));
            }
        }
        (0..groups.len()).filter(|group| kept[*group]).collect()
    }

    /// The rows of one group whose pages may have rows which every predicate
    /// keeps; `None` when that is all of them.
    pub(super) fn pages(&self, predicates: &[Predicate], group: usize) -> Option<RowSelection> {
        let selections = predicates
            .iter()
            .filter_map(|predicate| self.pages_of(predicate, group));
        selections.reduce(|all, one| all.intersection(&one))
    }

    fn pages_of(&self, predicate: &Predicate, group: usize) -> Option<RowSelection> {
        let (columns, offsets) = (self.metadata.column_index()?, self.metadata.offset_index()?);
        let mut stated = self.stated(predicate);
        // Pages of several columns do not begin at the same rows.
        let (Some(of), true) = (stated.pop(), stated.is_empty()) else {
            return None;
        };
        let counts = page_rows(self.metadata, group, of.leaf)?;
        let fact = Facts {
            place: of.place,
            min: of
                .statistics
                .data_page_mins(columns, offsets, [&group])
                .ok()?,
            max: of
                .statistics
                .data_page_maxes(columns, offsets, [&group])
                .ok()?,
            nulls: of
                .statistics
                .data_page_null_counts(columns, offsets, [&group])
                .ok()?,
        };
        let rows = UInt64Array::from_iter_values(counts.iter().map(|rows| *rows as u64));
        let may = evaluate(predicate, self.schema, &[fact], rows)?;
        let selectors = counts
            .iter()
            .enumerate()
            .map(|(page, rows)| match may.value(page) {
                true => RowSelector::select(*rows),
                false => RowSelector::skip(*rows),
            });
        Some(RowSelection::from(selectors.collect::<Vec<_>>()))
    }
}

/// Rows of each page of a column, where the offset index makes sense.
fn page_rows(metadata: &ParquetMetaData, group: usize, leaf: usize) -> Option<Vec<usize>> {
    let locations = metadata
        .offset_index()?
        .get(group)?
        .get(leaf)?
        .page_locations();
    let total = metadata.row_group(group).num_rows();
    let mut starts: Vec<i64> = locations.iter().map(|page| page.first_row_index).collect();
    if starts.first() != Some(&0) {
        return None;
    }
    starts.push(total);
    let count = |pair: &[i64]| usize::try_from(pair[1].checked_sub(pair[0])?).ok();
    starts.windows(2).map(count).collect()
}
