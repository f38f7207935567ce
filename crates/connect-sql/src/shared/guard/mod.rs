//! Which statements only read. The statement is parsed, not searched for
//! words; a read-only session is the second line behind this one.
//!
//! Where this parser and the server might understand a text differently, the
//! text is refused: what is checked here must be what runs there.

use std::ops::ControlFlow;

use sqlparser::ast::{Query, Select, Statement, Visit, Visitor};
use sqlparser::dialect::Dialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};
use weir_core::{Error, Kind, Result};

/// Nesting that is followed; the server has a limit of its own.
const MAX_DEPTH: usize = 100;

/// Operators and keywords of a statement: each may nest the tree by one.
const MAX_OPERATORS: usize = 10_000;

/// Enough for a tree of that depth, in any build. Only what is used is paid for.
const STACK_BYTES: usize = 256 * 1024 * 1024;

/// What the statements of one system are checked by.
pub struct Guard {
    /// How they are parsed.
    pub dialect: &'static (dyn Dialect + Sync),
    /// Commands of the server that the parser does not know; none of them reads.
    pub commands: &'static [&'static str],
    /// Functions that must not be called: a pattern a line, in which `*` stands for
    /// any characters; `#` begins a comment.
    pub denied: &'static str,
    /// Why a token, seen with those after it, is not taken: a spelling that the
    /// parser and the server read differently.
    pub odd: fn(&Token, &[TokenWithSpan]) -> Option<&'static str>,
    /// What to do instead of `EXPLAIN` and `SHOW`.
    pub instead: &'static str,
}

impl Guard {
    /// Checks that `text` is exactly one statement that only reads, and gives it
    /// without the semicolons and comments after it.
    pub fn check<'a>(&self, text: &'a str) -> Result<&'a str> {
        weir_kit::statement::check(text)?;
        // Trees are walked and dropped by recursion, which a thread of a server has no stack for.
        stacker::grow(STACK_BYTES, || self.examine(text))
    }

    fn examine<'a>(&self, text: &'a str) -> Result<&'a str> {
        let tokens = Tokenizer::new(self.dialect, text)
            .tokenize_with_location()
            .map_err(|e| not_understood(&e.message))?;
        self.check_tokens(&tokens)?;
        let end = statement_end(text, &tokens);
        let command = self.foreign_command(&tokens);
        let parsed = self.parse(tokens).map_err(|error| match command {
            Some(command) => read_only(command),
            None => not_understood(&error.to_string()),
        })?;
        let statement = match parsed.as_slice() {
            [] => return Err(Error::invalid("/query", "the query holds no statement")),
            [statement] => statement,
            [first, second, ..] => {
                let found = writing(first)
                    .or_else(|| writing(second))
                    .unwrap_or("several statements");
                return Err(read_only(&format!(
                    "{found}: a query is exactly one statement"
                )));
            }
        };
        match statement.visit(&mut OnlyReads {
            guard: self,
            depth: 0,
        }) {
            ControlFlow::Break(refusal) => Err(refusal),
            ControlFlow::Continue(()) => Ok(text[..end].trim()),
        }
    }

    /// The one of the commands that the text begins with.
    fn foreign_command(&self, tokens: &[TokenWithSpan]) -> Option<&'static str> {
        let first = tokens
            .iter()
            .find(|token| !matches!(token.token, Token::Whitespace(_)))?;
        let Token::Word(word) = &first.token else {
            return None;
        };
        self.commands
            .iter()
            .copied()
            .find(|command| word.quote_style.is_none() && word.value.eq_ignore_ascii_case(command))
    }

    fn parse(&self, tokens: Vec<TokenWithSpan>) -> Result<Vec<Statement>, ParserError> {
        let mut parser = Parser::new(self.dialect)
            .with_recursion_limit(MAX_DEPTH)
            .with_tokens_with_locations(tokens);
        // `TABLE t` is a query that this parser does not take for a statement.
        if !parser.peek_keyword(Keyword::TABLE) {
            return parser.parse_statements();
        }
        let mut parsed = vec![Statement::Query(parser.parse_query()?)];
        if parser.peek_token().token != Token::EOF {
            parser.expect_token(&Token::SemiColon)?;
        }
        parsed.extend(parser.parse_statements()?);
        Ok(parsed)
    }

    /// What tokens alone tell: denied functions in any place a call can stand, and
    /// spellings that are read differently here and there.
    fn check_tokens(&self, tokens: &[TokenWithSpan]) -> Result<()> {
        let mut operators = 0;
        for (index, token) in tokens.iter().enumerate() {
            let rest = &tokens[index + 1..];
            if let Some(why) = (self.odd)(&token.token, rest) {
                return Err(not_understood(why));
            }
            match &token.token {
                Token::Word(word) => {
                    if word.keyword != Keyword::NoKeyword {
                        operators += 1;
                    }
                    if is_called(rest) && is_denied(self.denied, &word.value) {
                        return Err(denied(&word.value));
                    }
                }
                Token::Whitespace(_)
                | Token::Comma
                | Token::Period
                | Token::Number(..)
                | Token::SingleQuotedString(_)
                | Token::EscapedStringLiteral(_)
                | Token::DollarQuotedString(_)
                | Token::Placeholder(_)
                | Token::LParen
                | Token::RParen
                | Token::SemiColon => {}
                _ => operators += 1,
            }
        }
        if operators > MAX_OPERATORS {
            return Err(not_understood("the statement is too complex")
                .hint("put long lists of values into a table of the source, or into params"));
        }
        Ok(())
    }
}

fn is_called(rest: &[TokenWithSpan]) -> bool {
    let next = rest
        .iter()
        .find(|token| !matches!(token.token, Token::Whitespace(_)));
    next.is_some_and(|token| token.token == Token::LParen)
}

/// Whether a function is among those that must not be called.
pub fn is_denied(denied: &str, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let mut patterns = denied
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    patterns.any(|pattern| fits(pattern, &name))
}

/// Whether `name` fits a pattern in which `*` stands for any characters.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(rest) = name.strip_prefix(head) else {
        return false;
    };
    tail.is_empty()
        || (0..=rest.len()).any(|at| rest.get(at..).is_some_and(|rest| fits(tail, rest)))
}

/// Where the last token that belongs to the statement ends.
fn statement_end(text: &str, tokens: &[TokenWithSpan]) -> usize {
    let is_content =
        |token: &&TokenWithSpan| !matches!(token.token, Token::Whitespace(_) | Token::SemiColon);
    let content = tokens
        .iter()
        .rposition(|token| is_content(&token))
        .map_or(0, |index| index + 1);
    // The first token after it begins where it ends.
    tokens
        .get(content)
        .map_or(text.len(), |after| offset(text, after.span.start))
}

/// Byte offset of a place, which is told in lines and characters from 1.
fn offset(text: &str, place: Location) -> usize {
    let (mut line, mut column) = (1, 1);
    for (index, character) in text.char_indices() {
        if (line, column) == (place.line, place.column) {
            return index;
        }
        if character == '\n' {
            (line, column) = (line + 1, 1);
        } else {
            column += 1;
        }
    }
    text.len()
}

/// Finds whatever is not reading, at any depth.
struct OnlyReads<'a> {
    guard: &'a Guard,
    depth: usize,
}

impl Visitor for OnlyReads<'_> {
    type Break = Error;

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<Error> {
        self.depth += 1;
        if let Statement::Query(_) = statement {
            return ControlFlow::Continue(());
        }
        if matches!(
            statement,
            Statement::Explain { analyze: false, .. }
                | Statement::ShowVariable { .. }
                | Statement::ShowVariables { .. }
        ) {
            return ControlFlow::Break(unsupported(statement, self.guard.instead));
        }
        let found = writing(statement).unwrap_or("a statement that is not a query");
        let place = if self.depth > 1 {
            " inside the query"
        } else {
            ""
        };
        ControlFlow::Break(read_only(&format!("{found}{place}")))
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        if !query.locks.is_empty() {
            return ControlFlow::Break(read_only("row locks (FOR UPDATE, FOR SHARE)"));
        }
        let foreign = query.for_clause.is_some()
            || query.settings.is_some()
            || query.format_clause.is_some()
            || !query.pipe_operators.is_empty();
        if foreign {
            return ControlFlow::Break(not_understood("a clause of another dialect"));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Error> {
        if select.into.is_some() {
            return ControlFlow::Break(read_only("SELECT … INTO, which makes a table"));
        }
        ControlFlow::Continue(())
    }
}

/// What a statement that does not read is called, for the refusal: the words
/// that it begins with.
fn writing(statement: &Statement) -> Option<&'static str> {
    Some(match statement {
        Statement::Query(_) => return None,
        Statement::Insert(_) => "INSERT",
        Statement::Update { .. } => "UPDATE",
        Statement::Delete(_) => "DELETE",
        Statement::Merge { .. } => "MERGE",
        Statement::Copy { .. } => "COPY",
        Statement::Truncate(_) => "TRUNCATE",
        Statement::Drop { .. } => "DROP",
        Statement::CreateTable(_) => "CREATE TABLE",
        Statement::CreateView { .. } => "CREATE VIEW",
        Statement::CreateFunction(_) => "CREATE FUNCTION",
        Statement::AlterTable { .. } => "ALTER TABLE",
        Statement::Grant { .. } => "GRANT",
        Statement::Revoke { .. } => "REVOKE",
        Statement::Set(_) => "SET",
        Statement::StartTransaction { .. } => "BEGIN",
        Statement::Commit { .. } => "COMMIT",
        Statement::Rollback { .. } => "ROLLBACK",
        Statement::Savepoint { .. } => "SAVEPOINT",
        Statement::Call(_) => "CALL",
        Statement::Prepare { .. } => "PREPARE",
        Statement::Execute { .. } => "EXECUTE",
        Statement::Deallocate { .. } => "DEALLOCATE",
        Statement::Explain { .. } => "EXPLAIN ANALYZE, which runs the statement",
        Statement::LISTEN { .. } => "LISTEN",
        Statement::NOTIFY { .. } => "NOTIFY",
        Statement::LockTables { .. } => "LOCK",
        Statement::Declare { .. } => "DECLARE",
        Statement::Discard { .. } => "DISCARD",
        Statement::Vacuum(_) => "VACUUM",
        Statement::Analyze { .. } => "ANALYZE",
        _ => "a statement that is not a query",
    })
}

fn read_only(found: &str) -> Error {
    Error::new(
        Kind::ReadOnly,
        format!("the query may only read, but it has {found}"),
    )
    .at("/query", "not a statement that only reads")
    .hint("a query is one SELECT, VALUES, TABLE or WITH statement; to write, use the system itself")
}

fn denied(name: &str) -> Error {
    Error::new(
        Kind::ReadOnly,
        format!("the query calls {name}, which acts outside of a read-only transaction"),
    )
    .at("/query", "calls a function that is not allowed")
    .hint("leave the call out; such functions reach files, other servers, locks or settings")
}

fn unsupported(statement: &Statement, instead: &'static str) -> Error {
    let what = if matches!(statement, Statement::Explain { .. }) {
        "EXPLAIN"
    } else {
        "SHOW"
    };
    Error::unsupported(format!("{what} cannot be loaded as rows"))
        .at("/query", "not a query")
        .hint(instead)
}

fn not_understood(why: &str) -> Error {
    Error::invalid("/query", format!("the query is not understood: {why}"))
        .code("query_not_understood")
        .hint("what cannot be parsed cannot be shown to only read; simplify it, or make it a view in the source")
}
