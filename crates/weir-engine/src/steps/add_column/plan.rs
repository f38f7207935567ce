//! From the arguments of a function to the plan.

use std::sync::Arc;

use arrow::datatypes::Field;
use serde_json::Value;
use weir_core::{Error, Result};
use weir_values::dates::Format;
use weir_values::replace::Replacer;
use weir_values::texts::is_text;

use super::calculation::{Calculation, Role};
use super::choice::Choice;
use super::pieces::{Cut, Piece};
use super::{AddColumn, Udf};
use crate::steps::at::At;
use crate::steps::cells::{Numbered, Slot, scalar};
use crate::steps::frame::Frame;
use crate::steps::function::RowFunction;

impl AddColumn {
    fn operands(&self, at: &At) -> Result<&[String]> {
        Self::needed(&self.columns, "columns", at).map(Vec::as_slice)
    }

    /// So many operands and no others.
    fn exactly(&self, count: usize, what: &str, at: &At) -> Result<()> {
        let given = self.operands(at)?.len();
        if given == count {
            return Ok(());
        }
        let message = format!("takes {what}, not {given} columns");
        Err(Error::invalid(at.field("columns"), message))
    }

    /// The last operand as text, if there is one.
    fn value_text(&self, at: &At) -> Result<Option<String>> {
        match &self.value {
            None => Ok(None),
            Some(value) => scalar(value, &at.field("value")),
        }
    }

    pub(super) fn check_udf(&self, udf: Udf, at: &At) -> Result<()> {
        let refused = |name: &'static str| {
            let pointer = at.field(name);
            move |error: Error| error.repointed(|_| pointer.clone())
        };
        match udf {
            Udf::Addition | Udf::Difference | Udf::Multiply | Udf::Divide => {
                self.check_operands(at)
            }
            Udf::Constant => {
                Self::needed(&self.value, "value", at)?;
                self.value_text(at).map(drop)
            }
            Udf::DateTrunc => {
                self.exactly(1, "one column", at)?;
                Self::needed(&self.date_part, "date_part", at).map(drop)
            }
            Udf::FormattedDate => {
                self.exactly(1, "one column", at)?;
                let format = Self::needed(&self.format, "format", at)?;
                Format::new(format).map(drop).map_err(refused("format"))
            }
            Udf::DistanceBetween => self.exactly(
                4,
                "four columns (latitude, longitude, latitude, longitude)",
                at,
            ),
            Udf::IfElse => {
                let condition = Self::needed(&self.condition, "condition", at)?;
                Self::needed(&self.then, "then", at)?;
                Self::needed(&self.else_, "else", at)?;
                let pointer = at.field("condition");
                crate::tree::parse_filter(&Value::from(condition.as_str()), &pointer).map(drop)
            }
            Udf::StringReplace => {
                self.exactly(1, "one column", at)?;
                let pattern = Self::needed(&self.pattern, "pattern", at)?;
                let replacement = Self::needed(&self.replacement, "replacement", at)?;
                let made = match self.regex.unwrap_or(true) {
                    true => Replacer::regex(pattern, replacement, false),
                    false => Replacer::literal(pattern, replacement),
                };
                made.map(drop).map_err(refused("pattern"))
            }
            Udf::StringSplit => {
                self.exactly(1, "one column", at)?;
                Self::needed(&self.part_index, "part_index", at)?;
                let separator = Self::needed(&self.separator, "separator", at)?;
                match separator.is_empty() {
                    true => Err(Error::invalid(at.field("separator"), "must not be empty")),
                    false => Ok(()),
                }
            }
            Udf::Substring => {
                self.exactly(1, "one column", at)?;
                if self.start.is_none() && self.stop.is_none() {
                    let message = "give `start`, `stop` or both";
                    return Err(Error::invalid(at.field("start"), message));
                }
                Ok(())
            }
        }
    }

    fn check_operands(&self, at: &At) -> Result<()> {
        let columns = self.operands(at)?.len();
        let value = self.value_text(at)?;
        if columns == 0 || columns + usize::from(value.is_some()) < 2 {
            let message = "needs at least two operands, the first of them a column";
            return Err(Error::invalid(at.field("columns"), message)
                .hint("name a second column, or give a `value`"));
        }
        match value {
            Some(text) if weir_values::number::number(&text).is_none() => {
                Err(Error::invalid(at.field("value"), "must be a number"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn plan_udf(self, udf: Udf, frame: Frame, at: &At) -> Result<Frame> {
        match udf {
            Udf::Addition
            | Udf::Difference
            | Udf::Multiply
            | Udf::Divide
            | Udf::DistanceBetween => self.plan_calculation(udf, frame, at),
            Udf::Constant => {
                let value = self.value.unwrap_or_default();
                let (constant, inputs) = Choice::constant(value)?;
                frame.put(&self.name, Arc::new(constant), inputs)
            }
            Udf::IfElse => self.plan_choice(frame, at),
            Udf::DateTrunc | Udf::FormattedDate => {
                let place = self.first(&frame, at)?;
                if !Role::may_be_moment(frame.field(place)) {
                    return Err(no_role(
                        frame.field(place),
                        "a date",
                        &at.item("columns", 0),
                    ));
                }
                let cut = match self.date_part {
                    Some(part) if udf == Udf::DateTrunc => Cut::Trunc { part },
                    _ => Cut::Format {
                        format: self.format.clone().unwrap_or_default(),
                    },
                };
                self.put_piece(cut, frame, place)
            }
            Udf::StringReplace | Udf::StringSplit | Udf::Substring => {
                let place = self.first(&frame, at)?;
                let cut = match udf {
                    Udf::StringReplace => Cut::Replace {
                        pattern: self.pattern.clone().unwrap_or_default(),
                        replacement: self.replacement.clone().unwrap_or_default(),
                        regex: self.regex.unwrap_or(true),
                    },
                    Udf::StringSplit => Cut::Split {
                        separator: self.separator.clone().unwrap_or_default(),
                        index: self.part_index.unwrap_or_default(),
                    },
                    _ => Cut::Slice {
                        start: self.start,
                        stop: self.stop,
                    },
                };
                self.put_piece(cut, frame, place)
            }
        }
    }

    fn first(&self, frame: &Frame, at: &At) -> Result<usize> {
        let places = frame.indices(self.operands(at)?, at)?;
        places
            .first()
            .copied()
            .ok_or_else(|| Error::invalid(at.field("columns"), "must name a column"))
    }

    fn put_piece(&self, cut: Cut, frame: Frame, place: usize) -> Result<Frame> {
        let piece = Piece::new(cut, frame.field(place), frame.tally())?;
        let piece: Arc<dyn RowFunction> = Arc::new(piece);
        frame.put(&self.name, piece, vec![place])
    }

    fn plan_choice(self, frame: Frame, at: &At) -> Result<Frame> {
        let condition = self.condition.clone().unwrap_or_default();
        let (then, else_) = (
            self.then.unwrap_or_default(),
            self.else_.unwrap_or_default(),
        );
        let (choice, inputs) = Choice::new(condition, then, else_, &frame, at)?;
        frame.put(&self.name, Arc::new(choice), inputs)
    }

    fn plan_calculation(self, udf: Udf, frame: Frame, at: &At) -> Result<Frame> {
        let places = frame.indices(self.operands(at)?, at)?;
        let has_unit = self.time_unit.is_some();
        let mut roles = Vec::with_capacity(places.len());
        for (n, place) in places.iter().enumerate() {
            let (field, kind) = (frame.field(*place), frame.kind_of(*place));
            let role = Role::of(field, kind).or_else(|| {
                // A unit of time says that text is a date, the first operand at least.
                let is_date = has_unit && is_text(field.data_type());
                is_date.then_some(Role::Read)
            });
            let role =
                role.ok_or_else(|| no_role(field, "a number or a date", &at.item("columns", n)))?;
            if udf == Udf::DistanceBetween && role != Role::Number {
                return Err(no_role(field, "a number", &at.item("columns", n)));
            }
            roles.push(role);
        }
        let names = places
            .iter()
            .map(|place| frame.field(*place).name().clone());
        let calculation = Calculation::new(
            udf,
            names.collect(),
            roles,
            self.value_text(at)?,
            self.time_unit.unwrap_or_default(),
        );
        // What the operands give is known now, as is whether they go together.
        let given: Vec<_> = places
            .iter()
            .map(|place| Arc::clone(frame.field(*place)))
            .collect();
        calculation
            .field(&given)
            .map_err(|error| error.repointed(|_| at.field("columns")))?;
        let is_read = places
            .iter()
            .any(|place| is_text(frame.field(*place).data_type()));
        let can_fail = is_read || calculation.can_overflow(&given);
        let function = Arc::new(calculation);
        if !can_fail {
            return frame.put(&self.name, function, places);
        }
        let slot = frame
            .find(&self.name)
            .map_or(Slot::Last(self.name), Slot::At);
        let numbered = Numbered::new(at.field("columns")).with(slot, function, places);
        frame.operate(Arc::new(numbered))
    }
}

/// What is wrong with a column that cannot be calculated with.
fn no_role(field: &Field, wanted: &str, pointer: &str) -> Error {
    let (name, type_) = (field.name(), weir_core::types::field_type_name(field));
    let message = format!("the column `{name}` of type {type_} is not {wanted}");
    Error::invalid(pointer, message).code("not_a_number").hint(
        "convert_type makes numbers or dates of text; `column_types` says that text means them",
    )
}
