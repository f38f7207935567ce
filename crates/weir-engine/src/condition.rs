//! Condition text: `<column> <op> <value>` with `and`, `or`, parentheses.
//!
//! Operators: `== != > >= < <= contains`, `not contains`. Columns and text may
//! be quoted with `'` or `"` (doubled or after a backslash inside). A bare value
//! that names a column compares columns; a quoted one is always text.

use weir_core::{Comparison, Error, Operand, Predicate, Result, Value};

use crate::MAX_DEPTH;

/// Parses a condition; errors point to `pointer` and name the place in the text.
pub fn parse_condition(text: &str, pointer: &str) -> Result<Predicate> {
    let tokens = tokenize(text).map_err(|fault| fault.error(text, pointer))?;
    let mut parser = Parser {
        tokens: &tokens,
        next: 0,
        end: text.len(),
    };
    let predicate = parser.any(0).and_then(|predicate| match parser.peek() {
        None => Ok(predicate),
        Some(token) => Err(Fault::new(token.at, "`and` or `or` is missing before this")),
    });
    predicate.map_err(|fault| fault.error(text, pointer))
}

struct Fault {
    at: usize,
    what: String,
}

impl Fault {
    fn new(at: usize, what: impl Into<String>) -> Self {
        Fault {
            at,
            what: what.into(),
        }
    }

    fn error(self, text: &str, pointer: &str) -> Error {
        let near: String = text[self.at..].chars().take(20).collect();
        let place = text[..self.at].chars().count() + 1;
        let message = if near.is_empty() {
            format!("the condition ends too early: {}", self.what)
        } else {
            format!(
                "the condition is wrong at character {place}, near `{near}`: {}",
                self.what
            )
        };
        Error::invalid(pointer, message)
            .code("invalid_filter")
            .hint("write it like: amount >= 10 and (state == 'open' or name contains \"^A\")")
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Word(String),
    Quoted(String),
    Operator(&'static str),
    Open,
    Close,
}

#[derive(Debug, Clone)]
struct Token {
    kind: Kind,
    at: usize,
}

const OPERATORS: [&str; 6] = ["==", "!=", ">=", "<=", ">", "<"];

fn tokenize(text: &str) -> std::result::Result<Vec<Token>, Fault> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let start = at;
        let kind = match c {
            c if c.is_whitespace() => {
                at += c.len_utf8();
                continue;
            }
            '(' => Kind::Open,
            ')' => Kind::Close,
            '\'' | '"' => {
                let (value, end) = quoted(text, at, c)?;
                at = end;
                tokens.push(Token {
                    kind: Kind::Quoted(value),
                    at: start,
                });
                continue;
            }
            '=' | '!' | '<' | '>' => {
                let found = OPERATORS.iter().find(|op| text[at..].starts_with(**op));
                let op = found
                    .ok_or_else(|| Fault::new(at, "operators are == != > >= < <= contains"))?;
                at += op.len();
                tokens.push(Token {
                    kind: Kind::Operator(op),
                    at: start,
                });
                continue;
            }
            _ => {
                let ends = |c: char| c.is_whitespace() || "()'\"=!<>".contains(c);
                let len = text[at..].find(ends).unwrap_or(text.len() - at);
                at += len;
                tokens.push(Token {
                    kind: Kind::Word(text[start..at].to_owned()),
                    at: start,
                });
                continue;
            }
        };
        at += 1;
        tokens.push(Token { kind, at: start });
    }
    Ok(tokens)
}

/// The text between quotes, and the place after the closing one.
fn quoted(text: &str, start: usize, quote: char) -> std::result::Result<(String, usize), Fault> {
    let mut value = String::new();
    let mut chars = text[start + 1..].char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let after = start + 1 + at + c.len_utf8();
        if c == '\\'
            && chars
                .peek()
                .is_some_and(|(_, next)| *next == quote || *next == '\\')
        {
            value.extend(chars.next().map(|(_, c)| c));
        } else if c != quote {
            value.push(c);
        } else if chars.peek().is_some_and(|(_, next)| *next == quote) {
            value.push(quote);
            chars.next();
        } else {
            return Ok((value, after));
        }
    }
    Err(Fault::new(start, "this quote is not closed"))
}

struct Parser<'a> {
    tokens: &'a [Token],
    next: usize,
    end: usize,
}

type Parsed<T> = std::result::Result<T, Fault>;

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.next)
    }

    fn at(&self) -> usize {
        self.peek().map_or(self.end, |token| token.at)
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token { kind: Kind::Word(w), .. }) if w.eq_ignore_ascii_case(word));
        self.next += usize::from(found);
        found
    }

    fn any(&mut self, depth: usize) -> Parsed<Predicate> {
        let mut parts = vec![self.all(depth)?];
        while self.take_word("or") {
            parts.push(self.all(depth)?);
        }
        Ok(one_or(parts, Predicate::Or))
    }

    fn all(&mut self, depth: usize) -> Parsed<Predicate> {
        let mut parts = vec![self.single(depth)?];
        while self.take_word("and") {
            parts.push(self.single(depth)?);
        }
        Ok(one_or(parts, Predicate::And))
    }

    fn single(&mut self, depth: usize) -> Parsed<Predicate> {
        if depth >= MAX_DEPTH {
            return Err(Fault::new(
                self.at(),
                format!("nested deeper than {MAX_DEPTH}"),
            ));
        }
        if !matches!(
            self.peek(),
            Some(Token {
                kind: Kind::Open,
                ..
            })
        ) {
            return self.comparison();
        }
        self.next += 1;
        let inner = self.any(depth + 1)?;
        if !matches!(
            self.peek(),
            Some(Token {
                kind: Kind::Close,
                ..
            })
        ) {
            return Err(Fault::new(self.at(), "a closing parenthesis is missing"));
        }
        self.next += 1;
        Ok(inner)
    }

    fn comparison(&mut self) -> Parsed<Predicate> {
        let column = match self.peek().map(|token| &token.kind) {
            Some(Kind::Word(name) | Kind::Quoted(name)) => name.clone(),
            _ => return Err(Fault::new(self.at(), "a column is missing")),
        };
        self.next += 1;
        let negated = self.take_word("not");
        if self.take_word("contains") {
            let pattern = self.text()?;
            return Ok(Predicate::Contains {
                column,
                pattern,
                negated,
            });
        }
        let Some(Token {
            kind: Kind::Operator(op),
            ..
        }) = self.peek().filter(|_| !negated)
        else {
            return Err(Fault::new(
                self.at(),
                "an operator is missing: == != > >= < <= contains",
            ));
        };
        self.next += 1;
        let at = self.at();
        let right = self.value()?;
        compare(column, op, right).map_err(|what| Fault::new(at, what))
    }

    fn text(&mut self) -> Parsed<String> {
        match self.peek().map(|token| &token.kind) {
            Some(Kind::Word(text) | Kind::Quoted(text)) => {
                self.next += 1;
                Ok(text.clone())
            }
            _ => Err(Fault::new(self.at(), "a pattern is missing")),
        }
    }

    fn value(&mut self) -> Parsed<Operand> {
        let operand = match self.peek().map(|token| &token.kind) {
            Some(Kind::Quoted(text)) => Operand::Value(Value::Text(text.clone())),
            Some(Kind::Word(word)) => bare(word),
            _ => return Err(Fault::new(self.at(), "a value is missing")),
        };
        self.next += 1;
        Ok(operand)
    }
}

fn one_or(mut parts: Vec<Predicate>, many: impl Fn(Vec<Predicate>) -> Predicate) -> Predicate {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            many(parts)
        }
        None => many(parts),
    }
}

fn bare(word: &str) -> Operand {
    let constant = |name: &str| word.eq_ignore_ascii_case(name);
    if constant("null") {
        Operand::Value(Value::Null)
    } else if constant("true") || constant("false") {
        Operand::Value(Value::Bool(constant("true")))
    } else if let Some(number) = number(word) {
        Operand::Value(number)
    } else {
        Operand::Word(word.to_owned())
    }
}

/// A number keeps its written form unless it is a plain whole number, so that
/// `02134` compared with text still has its zero.
fn number(word: &str) -> Option<Value> {
    if let Ok(whole) = word.parse::<i64>()
        && whole.to_string() == word
    {
        return Some(Value::Int(whole));
    }
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    let numeric = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.bytes().any(|b| b.is_ascii_digit())
        && word.parse::<f64>().is_ok_and(f64::is_finite);
    numeric.then(|| Value::Number(word.to_owned()))
}

fn compare(column: String, op: &str, right: Operand) -> std::result::Result<Predicate, String> {
    if right == Operand::Value(Value::Null) {
        let blank = Predicate::IsNullOrEmpty(column);
        return match op {
            "==" => Ok(blank),
            "!=" => Ok(Predicate::Not(Box::new(blank))),
            _ => Err("null is only compared with == and !=".to_owned()),
        };
    }
    let op = match op {
        "==" => Comparison::Eq,
        "!=" => Comparison::Ne,
        ">" => Comparison::Gt,
        ">=" => Comparison::Ge,
        "<" => Comparison::Lt,
        _ => Comparison::Le,
    };
    Ok(Predicate::Compare { column, op, right })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Predicate {
        parse_condition(text, "/filter").unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn compare(column: &str, op: Comparison, value: Value) -> Predicate {
        Predicate::Compare {
            column: column.into(),
            op,
            right: Operand::Value(value),
        }
    }

    #[test]
    fn and_binds_tighter_than_or() {
        let [a, b, c] = ["a", "b", "c"].map(|name| compare(name, Comparison::Eq, Value::Int(1)));
        let tree = Predicate::Or(vec![a.clone(), Predicate::And(vec![b.clone(), c.clone()])]);
        assert_eq!(parse("a == 1 or b==1 AND c == 1"), tree);
        let tree = Predicate::And(vec![Predicate::Or(vec![a, b]), c]);
        assert_eq!(parse("(a == 1 or b == 1) and c == 1"), tree);
    }

    #[test]
    fn values() {
        assert_eq!(
            parse("'Good Col' == 'it''s'"),
            compare("Good Col", Comparison::Eq, Value::Text("it's".into()))
        );
        assert_eq!(
            parse(r#"a >= "x\"y""#),
            compare("a", Comparison::Ge, Value::Text("x\"y".into()))
        );
        assert_eq!(
            parse("zip == 02134"),
            compare("zip", Comparison::Eq, Value::Number("02134".into()))
        );
        assert_eq!(
            parse("a < -1.5e3"),
            compare("a", Comparison::Lt, Value::Number("-1.5e3".into()))
        );
        assert_eq!(
            parse("a == TRUE"),
            compare("a", Comparison::Eq, Value::Bool(true))
        );
        assert_eq!(parse("a == Null"), Predicate::IsNullOrEmpty("a".into()));
        let other = Predicate::Compare {
            column: "a".into(),
            op: Comparison::Eq,
            right: Operand::Word("2024-01-01".into()),
        };
        assert_eq!(parse("a == 2024-01-01"), other);
        let pattern = Predicate::Contains {
            column: "a".into(),
            pattern: "^x".into(),
            negated: true,
        };
        assert_eq!(parse("a not contains '^x'"), pattern);
    }

    #[test]
    fn faults_name_the_place() {
        for (text, place) in [
            ("a = 1", "character 3"),
            ("a ==", "ends too early"),
            ("(a == 1", "ends too early"),
            ("a == 'x", "character 6"),
            ("a == 1 b == 2", "character 8"),
            ("a > null", "character 5"),
            ("", "ends too early"),
            ("a not == 1", "character 7"),
        ] {
            let error = parse_condition(text, "?filter").unwrap_err();
            assert!(error.message().contains(place), "{text}: {error}");
            assert_eq!(error.fields()[0].pointer, "?filter");
        }
        assert!(parse_condition(&"(".repeat(5000), "/filter").is_err());
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused(text in ".{0,60}") {
            let _ = parse_condition(&text, "/filter");
        }
    }
}
