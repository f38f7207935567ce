//! Typed predicates: the one tree that every filter form is parsed into, that
//! connectors push down and that the engine evaluates.

use serde_json::Value as Json;

/// A literal in a predicate.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A missing value.
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with decimals, in its written form so that no digit is lost.
    Number(String),
    /// Text; also dates and times, which the column's type gives a meaning.
    Text(String),
}

impl Value {
    /// A literal from JSON; arrays and objects have none.
    pub fn from_json(json: &Json) -> Option<Value> {
        Some(match json {
            Json::Null => Value::Null,
            Json::Bool(b) => Value::Bool(*b),
            Json::Number(n) => match n.as_i64() {
                Some(i) => Value::Int(i),
                None => Value::Number(n.to_string()),
            },
            Json::String(s) => Value::Text(s.clone()),
            Json::Array(_) | Json::Object(_) => return None,
        })
    }
}

/// The right-hand side of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// A literal.
    Value(Value),
    /// Another column.
    Column(String),
    /// A word of a condition text: the column of that name where there is one,
    /// else text. The engine settles it before a source sees the predicate.
    Word(String),
}

/// How two values are compared. Null rules (transforms, section 7): `Ne` is
/// true where either side is null, every other one is false there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Equal.
    Eq,
    /// Not equal, or either side null.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
}

/// A predicate over the rows of a stream. It is two-valued: a row is kept or it is not.
#[derive(Debug, Clone, PartialEq)]
pub enum Predicate {
    /// Every part holds; an empty list holds.
    And(Vec<Predicate>),
    /// Some part holds; an empty list does not.
    Or(Vec<Predicate>),
    /// The part does not hold.
    Not(Box<Predicate>),
    /// A comparison.
    Compare {
        /// Left-hand column.
        column: String,
        /// How.
        op: Comparison,
        /// Right-hand side; never `Value::Null`, see [`Predicate::IsNull`].
        right: Operand,
    },
    /// The value is one of these; false for null.
    In {
        /// The column.
        column: String,
        /// The values.
        values: Vec<Value>,
    },
    /// `low <= column <= high`; false for null.
    Between {
        /// The column.
        column: String,
        /// Lower bound, inclusive.
        low: Value,
        /// Upper bound, inclusive.
        high: Value,
    },
    /// The text matches a case-sensitive regular expression somewhere.
    Contains {
        /// The column.
        column: String,
        /// The pattern.
        pattern: String,
        /// Keep the rows that do not match, and those that are null.
        negated: bool,
    },
    /// The text starts with this literal text.
    StartsWith {
        /// The column.
        column: String,
        /// The prefix.
        prefix: String,
    },
    /// The value is null.
    IsNull(String),
    /// The value is not null.
    IsNotNull(String),
    /// The value is null or empty text (`== null` of a condition).
    IsNullOrEmpty(String),
    /// The value is null or nothing but white space.
    IsBlank(String),
}

/// A predicate split at its outermost `and`.
pub type Conjuncts = Vec<Predicate>;

impl Predicate {
    /// Splits at the outermost `and`, flattening nested ones.
    pub fn conjuncts(self) -> Conjuncts {
        match self {
            Predicate::And(parts) => parts.into_iter().flat_map(Predicate::conjuncts).collect(),
            other => vec![other],
        }
    }

    /// Every column the predicate speaks of, in order, with repeats.
    pub fn columns(&self) -> Vec<&str> {
        let mut found = Vec::new();
        self.collect_columns(&mut found);
        found
    }

    fn collect_columns<'a>(&'a self, found: &mut Vec<&'a str>) {
        match self {
            Predicate::And(parts) | Predicate::Or(parts) => {
                for part in parts {
                    part.collect_columns(found);
                }
            }
            Predicate::Not(part) => part.collect_columns(found),
            Predicate::Compare { column, right, .. } => {
                found.push(column);
                if let Operand::Column(other) = right {
                    found.push(other);
                }
            }
            Predicate::In { column, .. }
            | Predicate::Between { column, .. }
            | Predicate::Contains { column, .. }
            | Predicate::StartsWith { column, .. }
            | Predicate::IsNull(column)
            | Predicate::IsNotNull(column)
            | Predicate::IsNullOrEmpty(column)
            | Predicate::IsBlank(column) => found.push(column),
        }
    }
}
