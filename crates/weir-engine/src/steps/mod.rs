//! Steps: what can be done to rows, each with typed arguments, put together to
//! one plan of DataFusion.

mod add_column;
mod at;
mod auto;
mod blocks;
mod carry;
mod cells;
mod codec;
pub(crate) mod compared;
mod constant;
mod enter;
mod env;
mod facts;
mod fences;
mod fill;
mod filling;
mod frame;
mod function;
mod functions;
mod gaps;
mod impute;
mod join;
mod list;
mod lower;
mod mage;
mod operator;
pub(crate) mod operators;
mod outliers;
mod pipeline;
mod push;
mod report;
mod rows;
mod run;
mod scaling;
mod shape;
mod spool;
mod sql;
mod unlike;
mod wanted;

pub use at::At;
pub use blocks::{Block, Blocks};
pub use codec::{plan_from_bytes, plan_to_bytes};
pub use env::{Env, Side};
pub use frame::{Frame, Out};
pub use function::RowFunction;
pub use operator::{Arguments, Operator};
pub use pipeline::{Ask, Others, Pipeline, Step, StepInfo, StepKind, catalogue};
pub use report::{Report, Tally};
pub use run::{TransformOptions, Transformed};
pub use spool::{Spool, Spooled};

pub(crate) use cells::is_plain_text;
pub(crate) use constant::default_value;
pub(crate) use enter::Enter;
pub(crate) use facts::shown;
pub(crate) use lower::session;
pub(crate) use operator::later;

#[cfg(test)]
mod cells_tests;
#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod impute_tests;
#[cfg(test)]
mod odd_types_tests;
#[cfg(test)]
mod outliers_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
