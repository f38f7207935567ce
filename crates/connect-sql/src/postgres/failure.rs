//! What the server says, as errors that name the cause and what to check.

use weir_core::config::escape_pointer;
use weir_core::{Error, Kind, SourceFault, SourceMessage};

use super::config::Target;

/// One row of the table: SQLSTATE or the beginning of one, what it means, and a hint.
type Meaning = (&'static str, Kind, &'static str);

const QUERY_HINT: &str = "check the statement against the source's own SQL dialect";
const LOST_HINT: &str =
    "the server is restarting, overloaded or out of a resource; try again, and look at its log";

/// The first row that fits holds, so the precise ones stand before their class.
const MEANINGS: [Meaning; 31] = [
    (
        "28P01",
        Kind::Source(SourceFault::Authentication),
        "check user and password",
    ),
    (
        "28",
        Kind::Source(SourceFault::Authentication),
        "check user, password and client certificate, and that pg_hba.conf of the server lets this user in from this host",
    ),
    (
        "3D000",
        Kind::Source(SourceFault::NotFound),
        "check the database name; it is case-sensitive",
    ),
    (
        "3F000",
        Kind::Source(SourceFault::NotFound),
        "check the schema name; it is case-sensitive",
    ),
    (
        "42P01",
        Kind::Source(SourceFault::NotFound),
        "check the table name and its schema; names are case-sensitive",
    ),
    (
        "42501",
        Kind::Source(SourceFault::Permission),
        "grant SELECT on it (and USAGE on its schema) to the user of this source",
    ),
    (
        "42P18",
        Kind::Source(SourceFault::Query),
        "say the type of the parameter, for example $1::int",
    ),
    ("42", Kind::Source(SourceFault::Query), QUERY_HINT),
    (
        "25006",
        Kind::ReadOnly,
        "sources are read in read-only transactions; write through the system itself",
    ),
    ("25", Kind::Source(SourceFault::Query), QUERY_HINT),
    (
        "22P02",
        Kind::Source(SourceFault::Data),
        "a value does not have the form of its type; check params and casts",
    ),
    (
        "22",
        Kind::Source(SourceFault::Data),
        "a value cannot be computed or converted; check casts, divisions and params",
    ),
    (
        "23",
        Kind::Source(SourceFault::Data),
        "a row violates a constraint of the table",
    ),
    (
        "21",
        Kind::Source(SourceFault::Data),
        "a subquery gives more rows than its place takes",
    ),
    (
        "57014",
        Kind::Cancelled,
        "the query was cancelled in the server",
    ),
    (
        "53300",
        Kind::Source(SourceFault::Unavailable),
        "the server has no connection left; lower pool.max, or raise max_connections of the server",
    ),
    ("53", Kind::Source(SourceFault::Unavailable), LOST_HINT),
    (
        "57P03",
        Kind::Source(SourceFault::Unavailable),
        "the server is starting or stopping; try again in a moment",
    ),
    ("57", Kind::Source(SourceFault::Unavailable), LOST_HINT),
    (
        "55P03",
        Kind::Source(SourceFault::Unavailable),
        "somebody holds a lock on the table; try again later",
    ),
    (
        "55000",
        Kind::Source(SourceFault::Query),
        "the object is not in a state to be read, such as a materialized view that was never filled",
    ),
    (
        "40",
        Kind::Source(SourceFault::Unavailable),
        "the server gave up because of other transactions; try again",
    ),
    (
        "08P01",
        Kind::Source(SourceFault::Unavailable),
        "the server did not understand the connection; a proxy in between may not speak all of the protocol",
    ),
    ("08", Kind::Source(SourceFault::Unavailable), LOST_HINT),
    (
        "54001",
        Kind::Source(SourceFault::Query),
        "the statement is nested too deeply for the server",
    ),
    (
        "54",
        Kind::Source(SourceFault::Query),
        "the statement is larger or more complex than the server takes",
    ),
    (
        "0A",
        Kind::Source(SourceFault::Query),
        "the server does not support this",
    ),
    (
        "38",
        Kind::Source(SourceFault::Query),
        "a function that the statement calls failed",
    ),
    (
        "39",
        Kind::Source(SourceFault::Query),
        "a function that the statement calls failed",
    ),
    (
        "HV",
        Kind::Source(SourceFault::Unavailable),
        "a foreign table's own server failed; check it",
    ),
    ("58", Kind::Source(SourceFault::Unavailable), LOST_HINT),
];

/// An error of the driver.
pub fn of(error: tokio_postgres::Error, host: &str) -> Error {
    if let Some(said) = error.as_db_error() {
        return of_server(said);
    }
    if error.is_closed() {
        return closed(host);
    }
    if let Some(io) = io_cause(&error) {
        return weir_net::tls::io_error(host, io);
    }
    Error::source(SourceFault::Unavailable, format!("{host} answered in a way that was not understood"))
        .code("protocol")
        .hint("check that host and port lead to a PostgreSQL server; a proxy in between may not speak all of the protocol")
        .detail(error)
}

/// An error while logging in.
pub fn of_login(error: tokio_postgres::Error, target: &Target) -> Error {
    let host = &target.endpoint.host;
    if let Some(said) = error.as_db_error() {
        let error = of_server(said);
        // The server's own words for a host or user that no rule lets in.
        if said.message().contains("pg_hba.conf") {
            return error.code("authentication").hint(
                "pg_hba.conf of the server has no entry that lets this user from this host into this database, or only with TLS",
            );
        }
        if said.message().contains("client certificate") {
            return error.hint("set tls.cert and tls.key to a client certificate that the server accepts for this user");
        }
        return error;
    }
    if io_cause(&error).is_some() || error.is_closed() {
        return of(error, host);
    }
    let text = error.to_string();
    if text.contains("password missing") || text.contains("invalid configuration") {
        return Error::source(
            SourceFault::Authentication,
            format!("{host} wants a password, and none is set"),
        )
        .hint("set password");
    }
    if text.contains("authentication") {
        return Error::source(
            SourceFault::Authentication,
            format!("{host} wants a way to log in that is not supported"),
        )
        .hint("the server must allow scram-sha-256, md5, password, cert or trust for this user")
        .detail(error);
    }
    of(error, host)
}

/// The connection ended.
pub fn closed(host: &str) -> Error {
    Error::source(
        SourceFault::Unavailable,
        format!("{host} closed the connection"),
    )
    .hint("look at the server's log: it may have restarted, or an administrator ended the session")
}

fn of_server(said: &tokio_postgres::error::DbError) -> Error {
    let state = said.code().code();
    let (kind, hint) = meaning(state, said.message());
    let message = match kind {
        Kind::ReadOnly => format!("the statement writes: {}", said.message()),
        Kind::Deadline => "the deadline passed; the query was stopped in the source".to_owned(),
        _ => format!("PostgreSQL: {}", said.message()),
    };
    let hint = match (said.hint(), kind) {
        (Some(theirs), Kind::Source(SourceFault::Query | SourceFault::Data)) => theirs.to_owned(),
        _ => hint.to_owned(),
    };
    let error = Error::new(kind, message).hint(hint).said(SourceMessage {
        code: None,
        sqlstate: Some(state.to_owned()),
        message: said.message().to_owned(),
    });
    match said
        .where_()
        .and_then(|text| copied_line(text, said.column()))
    {
        Some(place) => error.at(place.pointer(), "refused by the source"),
        None => error,
    }
}

/// A row of a `COPY`.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: u64,
    /// Its column, where the server names one.
    pub column: Option<String>,
}

impl Place {
    fn pointer(&self) -> String {
        let column = self.column.as_deref().unwrap_or_default();
        format!("/{}/{}", self.line, escape_pointer(column))
    }
}

/// The row that an error of a `COPY` is about.
pub fn place(error: &Error) -> Option<Place> {
    let pointer = error.fields().first()?.pointer.strip_prefix('/')?;
    let (line, column) = pointer.split_once('/')?;
    let column = column.replace("~1", "/").replace("~0", "~");
    Some(Place {
        line: line.parse().ok()?,
        column: (!column.is_empty()).then_some(column),
    })
}

/// What stands in the context of an error of a `COPY`, whatever its language:
/// `COPY rows, line 3, column total`.
fn copied_line(context: &str, column: Option<&str>) -> Option<Place> {
    let line = context
        .lines()
        .rev()
        .find(|line| line.starts_with("COPY "))?;
    let mut parts = line.split(", ").skip(1);
    let number =
        parts.find_map(|part| part.rsplit(' ').next()?.trim_end_matches(':').parse().ok())?;
    let named = parts.next().and_then(|part| part.split_once(' '));
    let column = column.or(named.map(|(_, name)| name)).map(str::to_owned);
    Some(Place {
        line: number,
        column,
    })
}

/// Why a row is refused, by the state and without the value, which the server's
/// own words may quote.
pub fn of_state(state: &str) -> &'static str {
    match state {
        "22001" => "text that is longer than its column takes",
        "22003" => "a number beyond what its column takes",
        "22008" => "a date beyond what its column takes",
        "22021" | "22P05" => "text that the encoding of the database does not have",
        "23502" => "null in a column that takes none",
        "23503" => "it refers to a row that is not there",
        "23505" => "its key is there already",
        "23514" => "a check of the table refuses it",
        _ if state.starts_with("23") => "a constraint of the table refuses it",
        _ => "a value that its column cannot hold",
    }
}

fn meaning(state: &str, message: &str) -> (Kind, &'static str) {
    if state == "57014" && message.contains("statement timeout") {
        return (
            Kind::Deadline,
            "raise timeout_ms, or narrow the read with columns, filter or limit",
        );
    }
    let row = MEANINGS
        .iter()
        .find(|(prefix, ..)| state.starts_with(prefix));
    row.map_or(
        (Kind::Source(SourceFault::Query), QUERY_HINT),
        |(_, kind, hint)| (*kind, hint),
    )
}

fn io_cause(error: &tokio_postgres::Error) -> Option<&std::io::Error> {
    std::error::Error::source(error).and_then(|cause| cause.downcast_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_of_a_copy_is_found_in_any_language() {
        let place = |line, column: Option<&str>| Place {
            line,
            column: column.map(str::to_owned),
        };
        let found = |text: &str| copied_line(text, None).unwrap();
        assert_eq!(
            found("COPY t, line 3, column total"),
            place(3, Some("total"))
        );
        assert_eq!(found("COPY weir_rows, Zeile 12"), place(12, None));
        let nested = "PL/pgSQL function f() line 3 at RAISE\nCOPY t, line 7";
        assert_eq!(found(nested), place(7, None));
        assert_eq!(copied_line("SQL function \"f\"", None), None);
        let error = Error::source(SourceFault::Data, "x").at(place(3, Some("a/b")).pointer(), "");
        assert_eq!(super::place(&error), Some(place(3, Some("a/b"))));
    }

    #[test]
    fn states_have_one_meaning() {
        let of = |state: &str| meaning(state, "").0;
        assert_eq!(of("28P01"), Kind::Source(SourceFault::Authentication));
        assert_eq!(of("28000"), Kind::Source(SourceFault::Authentication));
        assert_eq!(of("42501"), Kind::Source(SourceFault::Permission));
        assert_eq!(of("42601"), Kind::Source(SourceFault::Query));
        assert_eq!(of("42P01"), Kind::Source(SourceFault::NotFound));
        assert_eq!(of("22012"), Kind::Source(SourceFault::Data));
        assert_eq!(of("57P01"), Kind::Source(SourceFault::Unavailable));
        assert_eq!(of("25006"), Kind::ReadOnly);
        assert_eq!(of("57014"), Kind::Cancelled);
        assert_eq!(
            meaning("57014", "canceling statement due to statement timeout").0,
            Kind::Deadline
        );
        assert_eq!(of("XX000"), Kind::Source(SourceFault::Query));
        for (index, (prefix, ..)) in MEANINGS.iter().enumerate() {
            let first = MEANINGS
                .iter()
                .position(|(other, ..)| prefix.starts_with(other));
            assert_eq!(first, Some(index), "{prefix} is never reached");
        }
    }
}
