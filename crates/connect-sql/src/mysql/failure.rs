//! What the server says, as errors that name the cause and what to check.

use weir_core::{Error, Kind, Result, SourceFault, SourceMessage};

use super::wire::Reader;

/// Codes of the server, what they mean, and a hint.
type Meaning = (&'static [u16], Kind, &'static str);

const fn fault(fault: SourceFault) -> Kind {
    Kind::Source(fault)
}

const QUERY_HINT: &str = "check the statement against the source's own SQL dialect";
const LOST_HINT: &str =
    "the server is restarting, overloaded or out of a resource; try again, and look at its log";

const MEANINGS: &[Meaning] = &[
    (
        &[1045, 1698, 1251, 1524, 4151],
        fault(SourceFault::Authentication),
        "check user and password, and that the server lets this user in from this host",
    ),
    (
        &[1129, 1130],
        fault(SourceFault::Authentication),
        "the server lets nobody in from this host; look at its accounts and at host_cache",
    ),
    (
        &[3159],
        fault(SourceFault::Authentication),
        "the server lets this user in over TLS only; set tls.mode to verify-full",
    ),
    (
        &[1862, 1820],
        fault(SourceFault::Authentication),
        "the password of the user has expired; set a new one with ALTER USER",
    ),
    (
        &[1044, 1142, 1143, 1227, 1370, 1410, 3554],
        fault(SourceFault::Permission),
        "grant SELECT on it to the user of this source",
    ),
    (
        &[1049],
        fault(SourceFault::NotFound),
        "check the database name; it is case-sensitive on most servers",
    ),
    (
        &[1146, 1051],
        fault(SourceFault::NotFound),
        "check the table name and its database; names are case-sensitive on most servers",
    ),
    (
        &[1792, 1290, 1836, 3572],
        Kind::ReadOnly,
        "sources are read in read-only transactions; write through the system itself",
    ),
    (
        &[3024, 1969, 1907],
        Kind::Deadline,
        "raise timeout_ms, or narrow the read with columns, filter or limit",
    ),
    (
        &[1317],
        Kind::Cancelled,
        "the query was cancelled in the server",
    ),
    (
        &[1040, 1203, 1226],
        fault(SourceFault::Unavailable),
        "the server has no connection left; lower pool.max, or raise max_connections of the server",
    ),
    (
        &[1205, 1213, 3058],
        fault(SourceFault::Unavailable),
        "somebody holds a lock on the table; try again later",
    ),
    (
        &[
            1053, 1077, 1152, 1158, 1159, 1160, 1161, 1184, 1037, 1038, 1041, 1105, 1114, 1021,
            1927, 4031,
        ],
        fault(SourceFault::Unavailable),
        LOST_HINT,
    ),
    (
        &[1153],
        fault(SourceFault::Query),
        "the statement is larger than max_allowed_packet of the server",
    ),
    (
        &[1064, 1054, 1060, 1052, 1305, 1248, 1055, 1210],
        fault(SourceFault::Query),
        QUERY_HINT,
    ),
];

/// First characters of an SQLSTATE, for codes that stand nowhere above.
const CLASSES: &[(&str, Kind, &str)] = &[
    ("08", fault(SourceFault::Unavailable), LOST_HINT),
    (
        "22",
        fault(SourceFault::Data),
        "a value cannot be computed or converted; check casts, divisions and params",
    ),
    (
        "23",
        fault(SourceFault::Data),
        "a row violates a constraint of the table",
    ),
    (
        "28",
        fault(SourceFault::Authentication),
        "check user and password",
    ),
    (
        "40",
        fault(SourceFault::Unavailable),
        "the server gave up because of other transactions; try again",
    ),
];

/// Codes about a value, whatever their SQLSTATE: `HY000` says nothing.
const VALUES: &[u16] = &[
    1048, 1062, 1264, 1265, 1292, 1364, 1366, 1406, 1411, 1441, 1451, 1452, 1525, 1690, 3140, 3819,
    4025, 4078,
];

/// An error of the server: its packet after the first byte.
pub fn of_server(packet: &[u8]) -> Error {
    read(packet).unwrap_or_else(|error| error)
}

fn read(packet: &[u8]) -> Result<Error> {
    let mut reader = Reader(packet);
    let code = reader.u16()?;
    let state = match reader.0.strip_prefix(b"#") {
        Some(rest) => {
            let mut after = Reader(rest);
            let state = after.bytes(5)?;
            reader = after;
            String::from_utf8_lossy(state).into_owned()
        }
        None => "HY000".to_owned(),
    };
    let text = String::from_utf8_lossy(reader.0).into_owned();
    let (kind, hint) = meaning(code, &state);
    let message = match kind {
        Kind::ReadOnly => format!("the statement writes: {text}"),
        Kind::Deadline => "the deadline passed; the query was stopped in the source".to_owned(),
        _ => format!("MySQL: {text}"),
    };
    Ok(Error::new(kind, message).hint(hint).said(SourceMessage {
        code: Some(code.to_string()),
        sqlstate: Some(state),
        message: text,
    }))
}

fn meaning(code: u16, state: &str) -> (Kind, &'static str) {
    if let Some((_, kind, hint)) = MEANINGS.iter().find(|(codes, ..)| codes.contains(&code)) {
        return (*kind, hint);
    }
    let state = if VALUES.contains(&code) { "22" } else { state };
    let class = CLASSES
        .iter()
        .find(|(prefix, ..)| state.starts_with(prefix));
    class.map_or(
        (Kind::Source(SourceFault::Query), QUERY_HINT),
        |(_, kind, hint)| (*kind, *hint),
    )
}

/// The server's own code of an error.
pub fn code(error: &Error) -> Option<u16> {
    error.source_message()?.code.as_deref()?.parse().ok()
}

/// The row that an error of the server is about, from 1.
pub fn row(error: &Error) -> Option<u64> {
    let text = &error.source_message()?.message;
    let (_, number) = text.rsplit_once(" at row ")?;
    number.trim().parse().ok()
}

/// The column that an error of the server is about.
pub fn column(error: &Error) -> Option<&str> {
    let text = &error.source_message()?.message;
    let (_, after) = text
        .split_once("olumn '")
        .or_else(|| text.split_once("olumn `"))?;
    // MariaDB quotes each part of `db`.`table`.`column`.
    let end = after.find(['\'', '`'])?;
    let mut name = &after[..end];
    let mut rest = &after[end..];
    while let Some(next) = rest.strip_prefix("`.`") {
        let end = next.find('`')?;
        (name, rest) = (&next[..end], &next[end..]);
    }
    (!name.is_empty()).then_some(name)
}

/// Why a row is refused, by the code and without the value, which the server's
/// own words may quote.
pub fn of_code(code: u16) -> &'static str {
    match code {
        1048 | 1364 => "null in a column that takes none",
        1062 => "its key is there already",
        1264 | 1690 => "a number beyond what its column takes",
        1406 => "text that is longer than its column takes",
        1451 | 1452 => "it refers to a row that is not there, or is referred to",
        3819 | 4025 => "a check of the table refuses it",
        1292 => "a date or number beyond what its column takes",
        _ => "a value that its column cannot hold",
    }
}

/// The connection ended.
pub fn closed(host: &str) -> Error {
    Error::source(
        SourceFault::Unavailable,
        format!("{host} closed the connection"),
    )
    .hint("look at the server's log: it may have restarted, or an administrator ended the session")
}

/// The server does not keep to the protocol.
pub fn protocol(what: &'static str) -> Error {
    Error::source(SourceFault::Unavailable, format!("the server sent {what}"))
        .code("protocol")
        .hint("check that host and port lead to a MySQL or MariaDB server; a proxy in between may not speak all of the protocol")
}

/// The server asks for a file of ours.
pub fn asks_for_a_file() -> Error {
    Error::source(
        SourceFault::Unavailable,
        "the server asked for a file of this machine, which nobody offered; it got nothing",
    )
    .code("protocol")
    .hint("do not trust this server: honest ones ask for a file only after LOAD DATA LOCAL")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: u16, state: &str, text: &str) -> Error {
        let mut packet = code.to_le_bytes().to_vec();
        packet.extend_from_slice(format!("#{state}{text}").as_bytes());
        of_server(&packet)
    }

    #[test]
    fn codes_have_one_meaning() {
        for (code, state, kind) in [
            (1045, "28000", fault(SourceFault::Authentication)),
            (1049, "42000", fault(SourceFault::NotFound)),
            (1142, "42000", fault(SourceFault::Permission)),
            (1366, "HY000", fault(SourceFault::Data)),
            (1062, "23000", fault(SourceFault::Data)),
            (1064, "42000", fault(SourceFault::Query)),
            (1969, "70100", Kind::Deadline),
            (1792, "25006", Kind::ReadOnly),
            (9999, "08S01", fault(SourceFault::Unavailable)),
        ] {
            assert_eq!(error(code, state, "x").kind(), kind, "{code}");
        }
        assert_eq!(of_server(&[1]).stable_code(), "protocol");
        let mut seen: Vec<u16> = MEANINGS
            .iter()
            .flat_map(|(codes, ..)| codes.to_vec())
            .collect();
        let all = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(all, seen.len(), "a code has two meanings");
    }

    #[test]
    fn the_row_and_column_are_found() {
        let of = |text: &str| {
            let error = error(1366, "22007", text);
            (row(&error), column(&error).map(str::to_owned))
        };
        assert_eq!(
            of("Incorrect integer value: 'x' for column `a`.`b`.`c d` at row 7"),
            (Some(7), Some("c d".into()))
        );
        assert_eq!(
            of("Data too long for column 'name' at row 2"),
            (Some(2), Some("name".into()))
        );
        assert_eq!(of("Column 'a' cannot be null"), (None, Some("a".into())));
        assert_eq!(of("nothing"), (None, None));
    }
}
