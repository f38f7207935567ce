//! What SQL of the caller may see: the table `input`, functions that compute,
//! and nothing of the machine.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, SchemaError, TableReference, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::error::Result as PlanResult;
use datafusion::execution::SessionStateDefaults;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner};
use datafusion::logical_expr::{
    AggregateUDF, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF,
};
use datafusion::prelude::SessionConfig;
use datafusion::sql::planner::{ParserOptions, SqlToRel};
use datafusion::sql::sqlparser::ast::{SetExpr, Statement};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use weir_core::config::nearest;
use weir_core::source::unknown_column;
use weir_core::{Error, Result};

use super::bounded;
use crate::plan::ours;

/// Bytes of a query.
const MAX_TEXT: usize = 256 << 10;

/// Operators of a query: a chain of them nests as deep as it is long.
const MAX_OPERATORS: usize = 1000;

/// The stack that such a chain may need.
const STACK: usize = 32 << 20;

/// Below this the stack is another one; threads of a runtime have less.
const STACK_LEFT: usize = 8 << 20;

/// How deep a query may nest.
const MAX_NESTING: usize = 50;

/// Scalar functions that tell of the machine, or of where rows come from.
const HIDDEN: [&str; 4] = [
    "version",
    "input_file_name",
    "file_row_index",
    "arrow_metadata",
];

/// What queries are planned and run with.
static SESSION: LazyLock<SessionState> = LazyLock::new(|| {
    let mut config = SessionConfig::new()
        .with_target_partitions(1)
        .with_information_schema(false);
    let options = config.options_mut();
    // What does not fit into memory must be able to spill.
    options.optimizer.prefer_hash_join = false;
    options.execution.enable_recursive_ctes = false;
    SessionStateBuilder::new()
        .with_config(config)
        .with_expr_planners(SessionStateDefaults::default_expr_planners())
        .with_scalar_functions(FUNCTIONS.scalar.values().map(Arc::clone).collect())
        .with_aggregate_functions(FUNCTIONS.aggregate.values().map(Arc::clone).collect())
        .with_window_functions(FUNCTIONS.window.values().map(Arc::clone).collect())
        .build()
});

struct Functions {
    scalar: HashMap<String, Arc<ScalarUDF>>,
    aggregate: HashMap<String, Arc<AggregateUDF>>,
    window: HashMap<String, Arc<WindowUDF>>,
}

static FUNCTIONS: LazyLock<Functions> = LazyLock::new(|| {
    let mut scalar = SessionStateDefaults::default_scalar_functions();
    scalar.retain(|function| {
        let aliases = function.aliases().iter().map(String::as_str);
        let mut names = aliases.chain([function.name()]);
        !names.any(|name| HIDDEN.contains(&name))
    });
    let scalar = scalar.into_iter().map(bounded::bounded);
    let aggregate = SessionStateDefaults::default_aggregate_functions();
    let window = SessionStateDefaults::default_window_functions();
    Functions {
        scalar: by_name(scalar, |f| (f.name(), f.aliases())),
        aggregate: by_name(aggregate, |f| (f.name(), f.aliases())),
        window: by_name(window, |f| (f.name(), f.aliases())),
    }
});

/// Functions by their names and aliases.
fn by_name<F>(
    functions: impl IntoIterator<Item = Arc<F>>,
    names: impl Fn(&F) -> (&str, &[String]),
) -> HashMap<String, Arc<F>> {
    let mut known = HashMap::new();
    for function in functions {
        let (name, aliases) = names(&function);
        for name in std::iter::once(name).chain(aliases.iter().map(String::as_str)) {
            known.insert(name.to_owned(), Arc::clone(&function));
        }
    }
    known
}

/// What queries are planned and run with.
pub(super) fn session() -> &'static SessionState {
    &SESSION
}

/// What names in a query mean.
pub(super) struct Sandbox {
    input: Option<Arc<dyn TableSource>>,
    planners: Vec<Arc<dyn ExprPlanner>>,
}

impl Sandbox {
    /// One with the table `input`, or with none for a bare expression.
    pub(super) fn new(input: Option<Arc<dyn TableSource>>) -> Self {
        Sandbox {
            input,
            planners: SessionStateDefaults::default_expr_planners(),
        }
    }

    /// The planner of this sandbox.
    pub(super) fn planner(&self) -> SqlToRel<'_, Sandbox> {
        let options = ParserOptions::new()
            .with_enable_ident_normalization(false)
            .with_map_string_types_to_utf8view(false);
        SqlToRel::new_with_options(self, options)
    }

    /// The plan of `statement`, optimized.
    pub(super) fn plan(&self, statement: Statement, pointer: &str) -> Result<LogicalPlan> {
        deep(|| {
            let plan = self.planner().sql_statement_to_plan(statement);
            plan.and_then(|plan| SESSION.optimize(&plan))
                .map_err(|error| refused(error, pointer))
        })
    }
}

impl ContextProvider for Sandbox {
    fn get_table_source(&self, name: TableReference) -> PlanResult<Arc<dyn TableSource>> {
        let plain =
            matches!(&name, TableReference::Bare { table } if table.eq_ignore_ascii_case("input"));
        match &self.input {
            Some(input) if plain => Ok(Arc::clone(input)),
            _ => plan_err!("there is no table `{name}`; the rows are in the table `input`"),
        }
    }

    fn get_table_function_source(
        &self,
        name: &str,
        _: Vec<datafusion::logical_expr::Expr>,
    ) -> PlanResult<Arc<dyn TableSource>> {
        plan_err!("there is no table function `{name}`; the rows are in the table `input`")
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        FUNCTIONS.scalar.get(name).map(Arc::clone)
    }

    fn get_higher_order_meta(&self, _: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        FUNCTIONS.aggregate.get(name).map(Arc::clone)
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        FUNCTIONS.window.get(name).map(Arc::clone)
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        SESSION.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        FUNCTIONS.scalar.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        FUNCTIONS.aggregate.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        FUNCTIONS.window.keys().cloned().collect()
    }
}

/// A parser over `text`, which must not be too long.
pub(super) fn parser(text: &str, pointer: &str) -> Result<Parser<'static>> {
    if text.len() > MAX_TEXT {
        let message = format!(
            "the text has {} bytes, at most {MAX_TEXT} are read",
            text.len()
        );
        return Err(invalid(pointer, message));
    }
    let dialect = &PostgreSqlDialect {};
    let tokens = Tokenizer::new(dialect, text)
        .tokenize_with_location()
        .map_err(|error| syntax(&error, pointer))?;
    let operators = tokens.iter().filter(|token| operates(&token.token));
    if operators.count() > MAX_OPERATORS {
        let message = format!("the text has more than {MAX_OPERATORS} operators");
        return Err(invalid(pointer, message));
    }
    Ok(Parser::new(dialect)
        .with_recursion_limit(MAX_NESTING)
        .with_tokens_with_locations(tokens))
}

/// Whether a token may put one expression into another.
fn operates(token: &Token) -> bool {
    match token {
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::AND
                | Keyword::OR
                | Keyword::NOT
                | Keyword::IS
                | Keyword::IN
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::BETWEEN
                | Keyword::COLLATE
                | Keyword::AT
                | Keyword::UNION
                | Keyword::EXCEPT
                | Keyword::INTERSECT
        ),
        Token::Number(_, _)
        | Token::SingleQuotedString(_)
        | Token::Whitespace(_)
        | Token::Comma
        | Token::Period
        | Token::LParen
        | Token::RParen
        | Token::SemiColon
        | Token::EOF => false,
        _ => true,
    }
}

/// Runs `work`, which goes as deep as an expression nests, with stack enough.
pub(super) fn deep<T>(work: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(STACK_LEFT, STACK, work)
}

/// The one SELECT that `text` is.
pub(super) fn statement(text: &str, pointer: &str) -> Result<Statement> {
    let mut parser = parser(text, pointer)?;
    let mut statements =
        deep(|| parser.parse_statements()).map_err(|error| syntax(&error, pointer))?;
    let (Some(statement), true) = (statements.pop(), statements.is_empty()) else {
        return Err(invalid(pointer, "give exactly one SELECT"));
    };
    let reads = match &statement {
        Statement::Query(query) => only_reads(&query.body) && query.locks.is_empty(),
        _ => false,
    };
    if !reads {
        return Err(invalid(
            pointer,
            "only a SELECT runs here; nothing can be written, set or loaded",
        ));
    }
    Ok(statement)
}

fn only_reads(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(select) => select.into.is_none(),
        SetExpr::Query(query) => only_reads(&query.body),
        SetExpr::SetOperation { left, right, .. } => only_reads(left) && only_reads(right),
        SetExpr::Values(_) => true,
        _ => false,
    }
}

pub(super) fn syntax(error: &dyn std::fmt::Display, pointer: &str) -> Error {
    invalid(pointer, format!("the SQL cannot be read: {}", short(error)))
}

fn invalid(pointer: &str, message: impl Into<String>) -> Error {
    Error::invalid(pointer, message.into())
        .code("invalid_query")
        .hint("write one SELECT over the table `input`, like: select a, sum(b) as total from input group by a; quote names that are no plain words")
}

/// Characters of a message that are shown.
const MAX_MESSAGE: usize = 300;

fn short(error: &dyn std::fmt::Display) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(MAX_MESSAGE).collect()
}

/// Why a query cannot be planned, or failed while it ran: the caller's, unless a
/// limit of ours was reached.
pub(super) fn refused(error: DataFusionError, pointer: &str) -> Error {
    match error.find_root() {
        DataFusionError::External(_) | DataFusionError::ResourcesExhausted(_) => ours(error),
        DataFusionError::SchemaError(inner, _) => match &**inner {
            SchemaError::FieldNotFound {
                field,
                valid_fields,
            } => {
                let known: Vec<&str> = valid_fields.iter().map(|c| c.name.as_str()).collect();
                unknown_column(&field.name, &known, pointer)
            }
            other => invalid(pointer, short(other)),
        },
        DataFusionError::ArrowError(inner, _) => match &**inner {
            arrow::error::ArrowError::ExternalError(_) => ours(error),
            other => invalid(
                pointer,
                format!("a value cannot be computed: {}", short(other)),
            ),
        },
        DataFusionError::Plan(text) => invalid(pointer, named(text)),
        other => invalid(pointer, short(&other.strip_backtrace())),
    }
}

/// The text of a planner; for an unknown function with the nearest one of ours.
fn named(text: &str) -> String {
    let name = text
        .strip_prefix("Invalid function '")
        .and_then(|rest| rest.split('\'').next());
    let Some(name) = name else {
        return short(&text);
    };
    let scalar = FUNCTIONS.scalar.keys().map(String::as_str);
    let aggregate = FUNCTIONS.aggregate.keys().map(String::as_str);
    let known: Vec<&str> = scalar.chain(aggregate).collect();
    match nearest(name, &known) {
        Some(near) => format!("there is no function `{name}`; did you mean `{near}`?"),
        None => format!("there is no function `{name}`"),
    }
}
