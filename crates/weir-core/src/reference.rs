//! References: where a string may stand, `{"$from": "<expression>"}` says where
//! its value comes from. In the API a plain string is always a literal, so
//! nothing here ever looks into one.
//!
//! An expression is one of a closed list of forms, parsed by hand: there are no
//! attributes, no operators and no loops to walk into.

use serde_json::Value;

use crate::config::{escape_pointer, nearest};
use crate::error::{Error, Result};

/// The one key of a reference object.
pub const KEY: &str = "$from";
/// Bytes of an expression at most.
const LONGEST: usize = 1024;
/// Calls within calls at most.
const DEEPEST: usize = 4;
/// Objects and arrays within each other that are looked into.
const NESTING: usize = 128;

/// A function of a secret store, or around one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// Arguments at least.
    pub least: usize,
    /// Arguments at most.
    pub most: usize,
}

const fn function(name: &'static str, least: usize, most: usize) -> Function {
    Function { name, least, most }
}

/// Every known function, as imported files spell them.
pub const FUNCTIONS: &[Function] = &[
    // Name, default.
    function("env_var", 1, 2),
    // Id, version or stage.
    function("aws_secret", 1, 2),
    function("aws_secret_var", 1, 2),
    function("azure_secret", 1, 2),
    function("azure_secret_var", 1, 2),
    function("gcp_secret", 1, 2),
    function("google_secret_var", 1, 2),
    // Path, field.
    function("vault_secret", 1, 2),
    // A call that gives JSON, and a field of it.
    function("json_value", 2, 2),
];

/// A call of one of [`FUNCTIONS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Which.
    pub function: &'static str,
    /// With what.
    pub arguments: Vec<Argument>,
}

/// An argument of a [`Call`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// A text in quotes.
    Text(String),
    /// What another call gives.
    Call(Call),
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// `${NAME}` or `${NAME:-default}`
    Environment {
        /// The variable.
        name: String,
        /// Taken when it is unset or empty.
        default: Option<String>,
    },
    /// `{{ aws_secret('prod/pg') }}`
    Call(Call),
    /// `file:/run/secrets/pg`
    File(String),
    /// `@postgres.main`
    Source {
        /// Kind of connector.
        kind: String,
        /// Name of the source.
        name: String,
    },
    /// `credential:main#password`
    Credential {
        /// Id or name of the credential.
        name: String,
        /// Dotted path of the field.
        field: String,
    },
}

impl Reference {
    /// Parses an expression. Errors carry the pointer `""`: put the field's in
    /// front with [`Error::under`].
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > LONGEST {
            return Err(bad(format!("is longer than {LONGEST} bytes")));
        }
        if text.chars().any(char::is_control) {
            return Err(bad("holds a control character"));
        }
        if let Some(inner) = text.strip_prefix("${").and_then(|t| t.strip_suffix('}')) {
            return environment(inner);
        }
        if let Some(inner) = text.strip_prefix("{{").and_then(|t| t.strip_suffix("}}")) {
            return template(inner);
        }
        if let Some(path) = text.strip_prefix("file:") {
            return match path {
                "" => Err(bad("names no file")),
                path => Ok(Reference::File(path.to_owned())),
            };
        }
        if let Some(rest) = text.strip_prefix("credential:") {
            return credential(rest);
        }
        if let Some(rest) = text.strip_prefix('@') {
            return source(rest);
        }
        Err(bad("is not a reference"))
    }

    /// Whether only an admin may make it: it reaches into the machine or a
    /// secret store with the rights of this service.
    pub fn needs_admin(&self) -> bool {
        match self {
            Reference::Environment { .. } | Reference::Call(_) | Reference::File(_) => true,
            Reference::Source { .. } | Reference::Credential { .. } => false,
        }
    }
}

fn bad(message: impl std::fmt::Display) -> Error {
    Error::invalid("", format!("the reference {message}"))
        .code("invalid_reference")
        .hint("write ${NAME:-default}, {{ aws_secret('id') }}, file:/path, @kind.name or credential:name#field")
}

fn environment(inner: &str) -> Result<Reference> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default.to_owned())),
        None => (inner, None),
    };
    let mut bytes = name.bytes();
    let start = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    let plain = bytes.next().is_some_and(start) && bytes.all(|b| start(b) || b.is_ascii_digit());
    if !plain {
        return Err(bad(
            "does not name an environment variable between `${` and `}`",
        ));
    }
    if default
        .as_deref()
        .is_some_and(|text| text.contains(['{', '}', '$']))
    {
        return Err(bad("has a default with `$`, `{` or `}` in it"));
    }
    Ok(Reference::Environment {
        name: name.to_owned(),
        default,
    })
}

fn credential(rest: &str) -> Result<Reference> {
    let (name, field) = rest
        .split_once('#')
        .ok_or_else(|| bad("to a credential needs a field: credential:name#field"))?;
    if !is_name(name) || !is_field(field) {
        return Err(bad("to a credential is written credential:name#field"));
    }
    Ok(Reference::Credential {
        name: name.to_owned(),
        field: field.to_owned(),
    })
}

fn source(rest: &str) -> Result<Reference> {
    match rest.split_once('.') {
        Some((kind, name)) if is_name(kind) && is_name(name) => Ok(Reference::Source {
            kind: kind.to_owned(),
            name: name.to_owned(),
        }),
        _ => Err(bad("to a source is written @kind.name")),
    }
}

fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.bytes().next().is_some_and(plain)
        && text.bytes().all(|b| plain(b) || b == b'_' || b == b'-')
}

/// Whether `text` is a dotted path of field names.
pub fn is_field(text: &str) -> bool {
    text.len() <= 255
        && text.split('.').all(|part| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        })
}

fn template(inner: &str) -> Result<Reference> {
    let mut rest = Rest(inner.trim());
    let call = rest.call(1)?;
    if rest.0.is_empty() {
        Ok(Reference::Call(call))
    } else {
        Err(bad(
            "has more than one call; only `{{ function('text') }}` is taken",
        ))
    }
}

/// What is left to parse of a template.
struct Rest<'a>(&'a str);

impl Rest<'_> {
    fn skip(&mut self) {
        self.0 = self.0.trim_start();
    }

    fn eat(&mut self, mark: char) -> bool {
        self.skip();
        match self.0.strip_prefix(mark) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn call(&mut self, depth: usize) -> Result<Call> {
        if depth > DEEPEST {
            return Err(bad(format!("nests more than {DEEPEST} calls")));
        }
        self.skip();
        let end = self
            .0
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(self.0.len());
        let (name, rest) = self.0.split_at(end);
        let function = known(name)?;
        self.0 = rest;
        if !self.eat('(') {
            return Err(bad(format!("needs `(` behind `{name}`")));
        }
        let mut arguments = Vec::new();
        if !self.eat(')') {
            loop {
                arguments.push(self.argument(depth)?);
                if self.eat(')') {
                    break;
                }
                if !self.eat(',') {
                    return Err(bad(format!("needs `,` or `)` in `{name}(…)`")));
                }
            }
        }
        self.skip();
        if !(function.least..=function.most).contains(&arguments.len()) {
            let wanted = match (function.least, function.most) {
                (least, most) if least == most => format!("{least}"),
                (least, most) => format!("{least} to {most}"),
            };
            return Err(bad(format!(
                "gives `{name}` {} arguments, it takes {wanted}",
                arguments.len()
            )));
        }
        Ok(Call {
            function: function.name,
            arguments,
        })
    }

    fn argument(&mut self, depth: usize) -> Result<Argument> {
        self.skip();
        let quote = match self.0.chars().next() {
            Some(quote @ ('\'' | '"')) => quote,
            Some(c) if c.is_ascii_alphabetic() => return self.call(depth + 1).map(Argument::Call),
            _ => {
                return Err(bad(
                    "has an argument that is neither a text in quotes nor a call",
                ));
            }
        };
        let body = &self.0[1..];
        let end = body
            .find(quote)
            .ok_or_else(|| bad("has a text whose quote is not closed"))?;
        let text = body[..end].to_owned();
        if text.contains('\\') {
            return Err(bad("has a `\\` in a text; there are no escapes"));
        }
        self.0 = &body[end + 1..];
        Ok(Argument::Text(text))
    }
}

fn known(name: &str) -> Result<&'static Function> {
    if let Some(found) = FUNCTIONS.iter().find(|function| function.name == name) {
        return Ok(found);
    }
    let names: Vec<&str> = FUNCTIONS.iter().map(|function| function.name).collect();
    let message = match nearest(name, &names) {
        Some(near) => format!("calls the unknown function `{name}`; did you mean `{near}`?"),
        None => format!("calls the unknown function `{name}`"),
    };
    Err(bad(message).hint(format!("known functions: {}", names.join(", "))))
}

/// The expression of a reference object; `None` where `value` is none at all.
pub fn expression(value: &Value) -> Option<&str> {
    match value.as_object() {
        Some(map) if map.len() == 1 => map.get(KEY)?.as_str(),
        _ => None,
    }
}

/// A reference and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// JSON pointer, relative to the value that was searched.
    pub pointer: String,
    /// As it was written.
    pub text: String,
    /// As it was understood.
    pub reference: Reference,
}

/// Every reference in `value`. An object that has `$from` and is not a
/// well-formed reference is refused, with its pointer.
pub fn collect(value: &Value) -> Result<Vec<Placed>> {
    let mut found = Vec::new();
    walk(value, String::new(), 0, &mut found)?;
    Ok(found)
}

fn walk(value: &Value, pointer: String, depth: usize, found: &mut Vec<Placed>) -> Result<()> {
    if depth > NESTING {
        return Err(Error::invalid(
            pointer,
            format!("is nested deeper than {NESTING} levels"),
        ));
    }
    match value {
        Value::Object(map) if map.contains_key(KEY) => {
            let text = expression(value).ok_or_else(|| {
                bad("is an object with the one key `$from` and a text behind it").under(&pointer)
            })?;
            let reference = Reference::parse(text).map_err(|error| error.under(&pointer))?;
            found.push(Placed {
                pointer,
                text: text.to_owned(),
                reference,
            });
            Ok(())
        }
        Value::Object(map) => map.iter().try_for_each(|(key, child)| {
            walk(
                child,
                format!("{pointer}/{}", escape_pointer(key)),
                depth + 1,
                found,
            )
        }),
        Value::Array(items) => items.iter().enumerate().try_for_each(|(index, child)| {
            walk(child, format!("{pointer}/{index}"), depth + 1, found)
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "reference_tests.rs"]
mod tests;
