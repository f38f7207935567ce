//! Filters and orders that SQLite takes over. A column may hold values of any type,
//! and SQLite has an order over all of them, so a comparison agrees with the engine
//! only where the type of the value is asked for as well, or known.
//!
//! Text that is not UTF-8 is null to the engine and a text to SQLite, which cannot
//! tell. It equals no literal, so equality agrees; everything else about text is
//! left to the engine.

use rusqlite::types::Value as SqlValue;
use weir_core::{Comparison, Operand, Order, Predicate};
use weir_kit::Dialect;

use super::catalog::SourceColumn;
use super::types::Kind;
use crate::shared::compare::{Compare, Compiler, Literal, Term, Terms};
use crate::shared::read::Compile;

/// SQLite's own spellings.
#[derive(Default)]
pub struct Sqlite {
    /// Values bound so far.
    pub params: Vec<SqlValue>,
}

impl Terms for Sqlite {
    fn bind(&mut self, literal: Literal) -> Option<String> {
        self.params.push(match literal {
            Literal::Int(number) => SqlValue::Integer(number),
            Literal::Float(number) => SqlValue::Real(number),
            Literal::Text(text) => SqlValue::Text(text),
            _ => return None,
        });
        Some(format!("?{}", self.params.len()))
    }

    fn bound(&self) -> usize {
        self.params.len()
    }

    fn take_back(&mut self, from: usize) {
        self.params.truncate(from);
    }

    fn by_bytes(&self, sql: &str) -> String {
        format!("{sql} COLLATE BINARY")
    }

    fn contains(&self, text: &str, needle: &str) -> String {
        format!("instr({text}, {needle}) > 0")
    }

    fn starts_with(&self, text: &str, prefix: &str) -> String {
        format!("substr({text}, 1, length({prefix})) = {prefix}")
    }
}

/// A column of a table as the statement speaks of it.
pub fn term(column: &SourceColumn, lenient: bool) -> Term {
    let sql = format!("t.{}", Dialect::Standard.quote(&column.name));
    let (compare, class) = match column.kind() {
        _ if !column.stored || column.generated => (Compare::Never, None),
        Kind::Int => (Compare::Int, Some("'integer'")),
        Kind::Float if column.native.is_empty() => (Compare::Never, None),
        Kind::Float if is_real(&column.native) => (Compare::Float, Some("'real'")),
        Kind::Text if column.native != "UUID" => (Compare::Text, Some("'text'")),
        Kind::Bytes => (Compare::Unknown, Some("'blob', 'text'")),
        _ => (Compare::Never, None),
    };
    let special = class.filter(|_| lenient && !column.strict).map(|class| {
        let other = format!("typeof({sql}) NOT IN ({class})");
        match compare {
            Compare::Float => format!("({other} OR abs({sql}) = 9e999)"),
            _ => other,
        }
    });
    let special = match compare {
        // A STRICT table takes infinities as well.
        Compare::Float if lenient && column.strict => Some(format!("abs({sql}) = 9e999")),
        _ => special,
    };
    Term {
        name: column.name.clone(),
        sql,
        compare,
        is_text: matches!(column.kind(), Kind::Text | Kind::Json | Kind::Any),
        special,
    }
}

/// Whether SQLite makes every number in the column a real.
fn is_real(native: &str) -> bool {
    let upper = native.to_ascii_uppercase();
    ["REAL", "FLOA", "DOUB"]
        .iter()
        .any(|part| upper.contains(part))
}

/// Comparisons of a filter at most: SQLite follows no deeper trees.
const MOST_PARTS: usize = 400;

/// The compiler of one read.
pub struct Push<'a> {
    terms: &'a [Term],
    /// The shared one.
    pub compiler: Compiler<'a, Sqlite>,
}

impl<'a> Push<'a> {
    /// Over these columns.
    pub fn new(terms: &'a [Term]) -> Self {
        Push {
            terms,
            compiler: Compiler::new(terms, Sqlite::default()),
        }
    }

    fn is_text(&self, name: &str) -> bool {
        let found = self.terms.iter().find(|term| term.name == name);
        found.is_none_or(|term| term.is_text)
    }

    /// Whether text is asked for nothing but equality; counts the comparisons.
    fn agrees(&self, predicate: &Predicate, parts: &mut usize) -> bool {
        *parts += 1;
        match predicate {
            Predicate::And(inner) | Predicate::Or(inner) => {
                inner.iter().all(|part| self.agrees(part, parts))
            }
            Predicate::Not(inner) => self.agrees(inner, parts),
            Predicate::In { values, .. } => {
                *parts += values.len();
                true
            }
            Predicate::Compare {
                op: Comparison::Eq | Comparison::Ne,
                right: Operand::Value(_),
                ..
            } => true,
            other => other.columns().iter().all(|name| !self.is_text(name)),
        }
    }
}

impl Compile for Push<'_> {
    fn conjunct(&mut self, predicate: &Predicate) -> Option<String> {
        let mut parts = 0;
        let agrees = self.agrees(predicate, &mut parts) && parts <= MOST_PARTS;
        agrees.then(|| self.compiler.conjunct(predicate))?
    }

    fn order(&self, order: &[Order]) -> Option<String> {
        let is_plain = order.iter().all(|key| !self.is_text(&key.column));
        is_plain.then(|| self.compiler.order(order))?
    }
}
