//! One error type for the whole service, free of any transport.
//!
//! It has two halves. The external half (`message`, `hint`, `fields`,
//! `source_message`) is written for the caller. The internal half (`detail`)
//! is for the log only and has no `Display`, so it cannot slip into an answer.

use std::borrow::Cow;
use std::time::Duration;

/// Shorthand for results of this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, from the caller's point of view. Few and closed: the
/// mapping to HTTP and [`Kind::retryable`] are matches without a wildcard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request could not be parsed.
    Malformed,
    /// Parsed, but a value is not valid.
    Invalid,
    /// Valid, but this connector or build cannot do it.
    Unsupported,
    /// No key, or one that is not valid.
    Unauthorized,
    /// The key's role is too low, or a rule forbids it.
    Forbidden,
    /// A statement that writes was given where only reading is allowed.
    ReadOnly,
    /// The target address is refused by the egress rules.
    Egress,
    /// No such thing, or not the caller's.
    NotFound,
    /// The path exists, but not for this method.
    MethodNotAllowed,
    /// None of the wanted media types can be given.
    NotAcceptable,
    /// A name is taken, a thing is in use, or the same request is in flight.
    Conflict,
    /// The resource changed since the caller read it.
    PreconditionFailed,
    /// Larger than a limit.
    TooLarge,
    /// The media type of the body is not taken.
    MediaType,
    /// The source refused or failed.
    Source(SourceFault),
    /// This service is at one of its limits.
    Busy,
    /// The store is not reachable, or the service is starting or stopping.
    NotReady,
    /// The master key at hand does not open the store's secrets.
    Sealed,
    /// The caller went away.
    Cancelled,
    /// The deadline passed.
    Deadline,
    /// A fault of this service; never meant to happen.
    Internal,
}

/// How a source refused or failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceFault {
    /// The credentials were not accepted.
    Authentication,
    /// Logged in, but not allowed.
    Permission,
    /// The database, table, bucket or file does not exist.
    NotFound,
    /// Not reachable, or it broke off.
    Unavailable,
    /// The statement is wrong.
    Query,
    /// A value could not be read or written.
    Data,
}

impl Kind {
    /// The stable, machine-readable code of this kind.
    pub fn code(self) -> &'static str {
        match self {
            Kind::Malformed => "malformed",
            Kind::Invalid => "invalid",
            Kind::Unsupported => "unsupported",
            Kind::Unauthorized => "unauthorized",
            Kind::Forbidden => "forbidden",
            Kind::ReadOnly => "read_only",
            Kind::Egress => "egress_denied",
            Kind::NotFound => "not_found",
            Kind::MethodNotAllowed => "method_not_allowed",
            Kind::NotAcceptable => "not_acceptable",
            Kind::Conflict => "conflict",
            Kind::PreconditionFailed => "precondition_failed",
            Kind::TooLarge => "too_large",
            Kind::MediaType => "unsupported_media_type",
            Kind::Source(SourceFault::Authentication) => "authentication",
            Kind::Source(SourceFault::Permission) => "permission",
            Kind::Source(SourceFault::NotFound) => "source_not_found",
            Kind::Source(SourceFault::Unavailable) => "unavailable",
            Kind::Source(SourceFault::Query) => "query",
            Kind::Source(SourceFault::Data) => "data",
            Kind::Busy => "busy",
            Kind::NotReady => "not_ready",
            Kind::Sealed => "sealed",
            Kind::Cancelled => "cancelled",
            Kind::Deadline => "deadline",
            Kind::Internal => "internal",
        }
    }

    /// Whether the same request may succeed later without being changed.
    pub fn retryable(self) -> bool {
        match self {
            Kind::Source(SourceFault::Unavailable)
            | Kind::Busy
            | Kind::NotReady
            | Kind::Deadline => true,
            Kind::Malformed
            | Kind::Invalid
            | Kind::Unsupported
            | Kind::Unauthorized
            | Kind::Forbidden
            | Kind::ReadOnly
            | Kind::Egress
            | Kind::NotFound
            | Kind::MethodNotAllowed
            | Kind::NotAcceptable
            | Kind::Conflict
            | Kind::PreconditionFailed
            | Kind::TooLarge
            | Kind::MediaType
            | Kind::Source(
                SourceFault::Authentication
                | SourceFault::Permission
                | SourceFault::NotFound
                | SourceFault::Query
                | SourceFault::Data,
            )
            | Kind::Sealed
            | Kind::Cancelled
            | Kind::Internal => false,
        }
    }
}

/// One invalid field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// JSON pointer to the field, for example `/config/port`.
    pub pointer: String,
    /// What is wrong with it.
    pub message: String,
}

/// What a source itself said, scrubbed of secrets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceMessage {
    /// The source's own error code, if it has one.
    pub code: Option<String>,
    /// SQLSTATE, where the source is a SQL database.
    pub sqlstate: Option<String>,
    /// The source's text.
    pub message: String,
}

/// An error with an external half for the caller and an internal one for the log.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    code: Option<&'static str>,
    message: Cow<'static, str>,
    hint: Option<Cow<'static, str>>,
    fields: Vec<FieldError>,
    source_message: Option<SourceMessage>,
    retry_after: Option<Duration>,
    detail: Option<String>,
}

impl Error {
    /// An error of `kind` whose `message` the caller may read.
    pub fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        Error(Box::new(Inner {
            kind,
            code: None,
            message: message.into(),
            hint: None,
            fields: Vec::new(),
            source_message: None,
            retry_after: None,
            detail: None,
        }))
    }

    /// A value that is not valid; `pointer` is a JSON pointer to it.
    pub fn invalid(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        let message = message.into();
        Error::new(Kind::Invalid, message.clone()).at(pointer, message)
    }

    /// The source failed in the given way.
    pub fn source(fault: SourceFault, message: impl Into<Cow<'static, str>>) -> Self {
        Error::new(Kind::Source(fault), message)
    }

    /// Valid, but this connector cannot do it.
    pub fn unsupported(message: impl Into<Cow<'static, str>>) -> Self {
        Error::new(Kind::Unsupported, message)
    }

    /// A fault of this service; `detail` goes to the log, never to the caller.
    pub fn internal(detail: impl std::fmt::Display) -> Self {
        Error::new(Kind::Internal, "something went wrong inside weir")
            .hint("quote the request id to whoever runs this service; its log has the cause")
            .detail(detail)
    }

    /// Sets a code more precise than the kind's own.
    #[must_use]
    pub fn code(mut self, code: &'static str) -> Self {
        self.0.code = Some(code);
        self
    }

    /// The same error as another kind: whoever handed the bytes over is to blame
    /// for what is wrong with them.
    #[must_use]
    pub fn as_kind(mut self, kind: Kind) -> Self {
        let code = self.stable_code();
        self.0.kind = kind;
        self.0.code = Some(code);
        self
    }

    /// Puts `prefix` before the message.
    #[must_use]
    pub fn prefixed(mut self, prefix: &str) -> Self {
        self.0.message = format!("{prefix}{}", self.0.message).into();
        self
    }

    /// Says what the caller should check next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds an invalid field.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        self.0.fields.push(FieldError {
            pointer: pointer.into(),
            message: message.into(),
        });
        self
    }

    /// Puts `prefix` before the pointer of every field.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        for field in &mut self.0.fields {
            field.pointer = format!("{prefix}{}", field.pointer);
        }
        self
    }

    /// Puts what `new` makes of it in the place of each field's pointer.
    #[must_use]
    pub fn repointed(mut self, new: impl Fn(&str) -> String) -> Self {
        for field in &mut self.0.fields {
            field.pointer = new(&field.pointer);
        }
        self
    }

    /// Puts what `new` makes of it in the place of each field.
    #[must_use]
    pub fn refielded(mut self, new: impl Fn(FieldError) -> FieldError) -> Self {
        self.0.fields = std::mem::take(&mut self.0.fields)
            .into_iter()
            .map(new)
            .collect();
        self
    }

    /// Marks every field as a query parameter instead of a part of the body.
    #[must_use]
    pub fn as_parameter(mut self) -> Self {
        for field in &mut self.0.fields {
            field.pointer = format!("?{}", field.pointer.trim_start_matches(['/', '?']));
        }
        self
    }

    /// Adds what the source said.
    #[must_use]
    pub fn said(mut self, message: SourceMessage) -> Self {
        self.0.source_message = Some(message);
        self
    }

    /// When to try again.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// Adds the internal half, for the log only.
    #[must_use]
    pub fn detail(mut self, detail: impl std::fmt::Display) -> Self {
        self.0.detail = Some(detail.to_string());
        self
    }

    /// Passes every text of both halves through `scrub`, which must remove secrets.
    #[must_use]
    pub fn scrubbed(mut self, scrub: impl Fn(&str) -> Option<String>) -> Self {
        let inner = &mut *self.0;
        if let Some(clean) = scrub(&inner.message) {
            inner.message = clean.into();
        }
        if let Some(clean) = inner.hint.as_deref().and_then(&scrub) {
            inner.hint = Some(clean.into());
        }
        for field in &mut inner.fields {
            if let Some(clean) = scrub(&field.message) {
                field.message = clean;
            }
            if let Some(clean) = scrub(&field.pointer) {
                field.pointer = clean;
            }
        }
        if let Some(said) = &mut inner.source_message
            && let Some(clean) = scrub(&said.message)
        {
            said.message = clean;
        }
        if let Some(clean) = inner.detail.as_deref().and_then(&scrub) {
            inner.detail = Some(clean);
        }
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The stable code: the one set with [`Error::code`], else the kind's.
    pub fn stable_code(&self) -> &'static str {
        self.0.code.unwrap_or_else(|| self.0.kind.code())
    }

    /// The text for the caller.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to check next.
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The invalid fields.
    pub fn fields(&self) -> &[FieldError] {
        &self.0.fields
    }

    /// What the source said.
    pub fn source_message(&self) -> Option<&SourceMessage> {
        self.0.source_message.as_ref()
    }

    /// When to try again.
    pub fn retry_after_hint(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The internal half, for the log.
    pub fn log_detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {}

impl From<Error> for arrow::error::ArrowError {
    fn from(error: Error) -> Self {
        arrow::error::ArrowError::ExternalError(Box::new(error))
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        match error {
            arrow::error::ArrowError::ExternalError(inner) => match inner.downcast::<Error>() {
                Ok(ours) => *ours,
                Err(other) => Error::internal(other),
            },
            other => Error::internal(other),
        }
    }
}
