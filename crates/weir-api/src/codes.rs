//! Every error code with its page: what it means and what to do.

use weir_core::Kind;

/// One code: title, what it means, what to do.
pub struct Page {
    /// The stable code.
    pub code: &'static str,
    /// For people.
    pub title: &'static str,
    /// What happened and what to do next.
    pub text: &'static str,
}

const fn page(code: &'static str, title: &'static str, text: &'static str) -> Page {
    Page { code, title, text }
}

/// All codes, in alphabetical order; a line each keeps the table one to read.
#[rustfmt::skip]
pub const PAGES: &[Page] = &[
    page(
        "all_missing",
        "Every value is missing",
        "A step would fill gaps from the values of a column that has none. Give it a constant, or leave the column out.",
    ),
    page(
        "already_created",
        "It was made already",
        "The same request was answered before; what it made cannot be shown again.",
    ),
    page(
        "array_dimensions",
        "An array of another shape",
        "A value has more or fewer dimensions than its column declares. Cast the column to text, or to json with to_json, in a query.",
    ),
    page(
        "audit_unavailable",
        "The read cannot be recorded",
        "Every read of data is recorded before its first byte. The service's own database is away or busy; try again after Retry-After.",
    ),
    page(
        "authentication",
        "The source did not accept the credentials",
        "Check user, password, certificate and database; POST /v1/sources/{s}/test shows the step that failed.",
    ),
    page("bad_column_name", "A name that no column can have", "The rows have a column without a name, with a NUL in it, or two of one name. Rename the columns."),
    page("bad_row", "A row cannot be written", "The detail says which row, counted from 1 without a header, which column and why; nothing was written. Correct the row or leave it out, and send all rows again."),
    page(
        "body_stalled",
        "The body stood still",
        "The body did not arrive in time; GET /v1/limits says how long it may pause. Send it again without pauses.",
    ),
    page(
        "body_too_large",
        "The body is too large",
        "Split what you send. GET /v1/limits lists every limit; body_bytes is this one.",
    ),
    page(
        "busy",
        "The service is at a limit",
        "Wait as long as Retry-After says, then send the request again.",
    ),
    page(
        "cancelled",
        "The request was cancelled",
        "The caller went away or cancelled the run; the query was stopped in the source.",
    ),
    page(
        "changed",
        "It changed in the meantime",
        "Somebody else changed the source while the request ran. Send it again.",
    ),
    page(
        "code_refused",
        "Code is never run",
        "Python in a payload is not run, whatever it does. Write it as SQL (`sql`, or `add_column` with an `expression`), or as steps; GET /v1/transforms lists them.",
    ),
    page("commit_unknown", "Nobody knows whether the rows were written", "The connection was lost in the very moment in which the rows were committed. Look into the target before you send them again; replace, upsert and ignore may be repeated safely."),
    page(
        "conflict",
        "Something stands in the way",
        "The name is taken, the thing is in use, or the same request is already running.",
    ),
    page(
        "connect_failed",
        "The connection failed",
        "The network between this service and the host is in the way: routes, firewalls, interfaces.",
    ),
    page(
        "connect_refused",
        "Nothing listens at that address",
        "Check host and port, and that the server is running and listens on that address.",
    ),
    page(
        "connect_timeout",
        "The address did not answer",
        "Check host and port, and firewalls on the way from this service to the source.",
    ),
    page(
        "data",
        "A value could not be read",
        "A value does not fit the type of its column; the detail names row and column. With 424 the source sent it, with 422 it stands in the body: give the column a wider type.",
    ),
    page(
        "deadline",
        "The deadline passed",
        "The query was stopped in the source. Raise timeout_ms or narrow the read.",
    ),
    page(
        "decoded_too_large",
        "The body unpacks to too much",
        "What is sent becomes far larger as it is read: packed zeros, or rows that leave most columns out. Send it unpacked, or in parts.",
    ),
    page(
        "dns",
        "The host name could not be resolved",
        "Check the spelling of the host, and that this service can resolve it.",
    ),
    page(
        "duplicate_field",
        "A field stands twice",
        "Readers differ in which of the two they take, so none is guessed. Send the field once; the list `errors` points to it.",
    ),
    page(
        "egress_denied",
        "The address is not allowed",
        "Egress rules refuse this address. Link-local and cloud metadata addresses can never be reached.",
    ),
    page(
        "encrypted",
        "The file is encrypted",
        "Weir has no key to it. Decrypt the file first, or read a copy that is not encrypted.",
    ),
    page(
        "file_changed",
        "The file changed while it was read",
        "Its rows would be a mix of two states. Send the request again when nobody writes to it; writers do best to rename a finished file into place.",
    ),
    page(
        "file_locked",
        "The database file is in use",
        "Another program has it open, or it is open here for reading only while you write. Close it there, or try again when reads have ended; a file is closed some seconds after its last use.",
    ),
    page(
        "files_disagree",
        "Files read as one stream disagree",
        "A column has another type in one of the files; the detail names both. Set its type in the config, or read the files in several streams.",
    ),
    page(
        "first_batch_timeout",
        "The source gave no row in time",
        "The query was stopped in the source. Make it give rows sooner (no order over everything, a filter, fewer columns), or raise first_batch_ms of the service.",
    ),
    page(
        "forbidden",
        "Your key may not do this",
        "GET /v1/whoami shows the role of your key; ask an admin for a key with a higher one.",
    ),
    page(
        "hard_link",
        "The file has another name",
        "The other name may be outside of what this service may read. Copy the file, or have the operator set WEIR_FILE_HARD_LINKS=true.",
    ),
    page(
        "host_not_allowed",
        "The credential may not go there",
        "The credential is bound to other hosts, or your key may not send it to a new place. An admin may attach it, or list the host in its allowed_hosts.",
    ),
    page(
        "http_version",
        "Rows need HTTP/1.1",
        "HTTP/1.0 cannot tell whole rows from rows that broke off. Speak HTTP/1.1 (in nginx: proxy_http_version 1.1), or ask for json, arrow, parquet, or ndjson with end_marker=true.",
    ),
    page(
        "idempotency_mismatch",
        "The idempotency key was used for another request",
        "A key stands for one request for 24 hours: the same path and the same body. Send a new key with a new request.",
    ),
    page(
        "in_flight",
        "The same request is still running",
        "A request with this idempotency key has not been answered yet. Send it again after Retry-After to get its answer.",
    ),
    page(
        "instance_lost",
        "The instance ended without a word",
        "The run was cut off when the instance that ran it died or lost the store. Load again.",
    ),
    page(
        "internal",
        "Something went wrong inside weir",
        "This is a fault of ours. The log has the cause under the request id.",
    ),
    page(
        "invalid",
        "A value is not valid",
        "The list `errors` names each field and what is wrong with it.",
    ),
    page(
        "invalid_filter",
        "The filter is not valid",
        "A filter is condition text, or a tree of and, or, not and leaves; the detail names the place.",
    ),
    page(
        "invalid_pattern",
        "The pattern is no regular expression",
        "The detail says what is wrong with it. Where text is meant as it stands, leave `regex` out.",
    ),
    page(
        "invalid_query",
        "The SQL cannot run",
        "SQL in a step is one SELECT over the table `input`, or one expression over its columns, without files, other tables and writes; the detail says what is wrong.",
    ),
    page(
        "invalid_reference",
        "The reference is not valid",
        "A reference is written ${NAME:-default}, {{ aws_secret('id') }}, file:/path, @kind.name or credential:name#field.",
    ),
    page(
        "json_too_large",
        "The JSON body is too large",
        "A JSON body is read whole. Send larger data in a streamed format; GET /v1/limits lists every limit.",
    ),
    page(
        "last_admin_key",
        "The last admin key stays",
        "Without an admin key that does not expire nobody could make keys any more. Make another one first.",
    ),
    page(
        "library_missing",
        "A library that the connector needs is not there",
        "Whoever runs this service puts the library on the machine and names it, for DuckDB in WEIR_DUCKDB_LIB.",
    ),
    page(
        "load_bytes",
        "The load has too many bytes",
        "The service bounds the bytes of one load. Narrow it with columns, filter or limit, or load it in parts.",
    ),
    page(
        "load_rows",
        "The load has too many rows",
        "The service bounds the rows of one load. Narrow it with filter or limit, or load it in parts.",
    ),
    page(
        "malformed",
        "The request could not be parsed",
        "Check that the body is well-formed and the Content-Type is right.",
    ),
    page(
        "memory_busy",
        "The service has no memory left",
        "The requests that run use all the memory that the service may give to rows. Try again after Retry-After; GET /v1/limits shows memory_bytes.",
    ),
    page(
        "method_not_allowed",
        "Wrong method",
        "The Allow header lists the methods this path takes.",
    ),
    page(
        "name_taken",
        "The name is taken",
        "Names are unique; choose another one or change the existing resource.",
    ),
    page("no_columns", "The rows have no columns", "Send rows with at least one column."),
    page(
        "no_file_roots",
        "This service may read no local files",
        "Its operator names the folders in WEIR_FILE_ROOTS; none are allowed by default.",
    ),
    page(
        "no_route",
        "No such path",
        "GET /openapi.json lists every path.",
    ),
    page("no_unique_key", "The keys are not unique in the table", "upsert and ignore need a primary key or a unique index over exactly the keys, neither partial nor deferrable. Make one, or name other keys."),
    page(
        "not_a_number",
        "The column is no number",
        "A step calculates with numbers or dates, and the column is neither. convert_type makes them of text; `column_types` says that text means them.",
    ),
    page(
        "not_acceptable",
        "No wanted format can be given",
        "The detail lists what can be had; */* always works.",
    ),
    page(
        "not_found",
        "No such thing",
        "It does not exist, or it is outside what your key may see.",
    ),
    page(
        "not_mysql",
        "No MySQL server answers there",
        "Something listens at that address but does not speak the protocol of MySQL and MariaDB. Check the port.",
    ),
    page(
        "not_postgres",
        "No PostgreSQL server answers there",
        "Something listens at that address but does not speak PostgreSQL's protocol. Check the port.",
    ),
    page(
        "not_ready",
        "The service is not ready",
        "It is starting, stopping, or its store is away. Try again after Retry-After.",
    ),
    page(
        "out_of_range",
        "A value does not fit",
        "A number is beyond what the type of its column can hold exactly. Convert the column first, or leave such values out.",
    ),
    page(
        "outside_scope",
        "Outside of what your key may make",
        "Your key has scopes, and everything it makes or changes must carry one of these labels. GET /v1/whoami lists them.",
    ),
    page(
        "overflow",
        "A number is too large",
        "A sum or a difference has more digits than the type of its column. Convert the column to float64 or to a wider decimal first.",
    ),
    page(
        "panic",
        "Something went wrong inside weir",
        "This is a fault of ours; the request was ended and nothing else was harmed.",
    ),
    page(
        "path_not_allowed",
        "The path leads out of what may be read",
        "Only regular files below the source's root are read: no `..`, no links that lead out, no devices. Write the path as discovery gives it.",
    ),
    page(
        "permission",
        "The source refused permission",
        "The login works but may not read this; grant it the right or use another login.",
    ),
    page(
        "precondition_failed",
        "It changed since you read it",
        "Read the resource again and repeat the change with its new ETag.",
    ),
    page(
        "protocol",
        "The source answered in a way that was not understood",
        "A proxy in between may not speak all of the protocol; check that host and port lead to the system itself.",
    ),
    page(
        "query",
        "The statement is wrong",
        "source_error has the source's own words.",
    ),
    page(
        "query_not_understood",
        "The statement cannot be proved to only read",
        "The parser did not understand the statement. Simplify it, or put it behind a view.",
    ),
    page(
        "query_too_long",
        "The statement is too long",
        "Put long lists of values into params, or into a table of the source.",
    ),
    page(
        "read_only",
        "Only reading is allowed",
        "A query is exactly one statement that only reads.",
    ),
    page("replace_followed", "Rows of other tables would follow", "Foreign keys to the table delete or change rows of other tables with those that replace deletes. Write with upsert, or change these keys."),
    page(
        "run_finished",
        "The run has ended already",
        "There is nothing left to stop; GET /v1/runs/{run} says how it ended.",
    ),
    page(
        "run_id_taken",
        "Another run has this id",
        "Send a new UUID in weir-run-id, or leave the header out.",
    ),
    page(
        "schema_mismatch",
        "The store was made by another build",
        "Use the release that the store was made with, or a newer one.",
    ),
    page(
        "schema_outdated",
        "The store's schema is too old",
        "Run `weir migrate`, or start the service once with the right to change its schema.",
    ),
    page(
        "sealed",
        "The secrets are sealed",
        "The master key given to the service does not match its store. Start it with the right WEIR_MASTER_KEY.",
    ),
    page(
        "secrets_required",
        "The secrets must be given again",
        "A field that says where the connection goes changed while sealed secrets would stay. Send the secrets again in the same request.",
    ),
    page(
        "service_stopped",
        "The service stopped",
        "The service was told to stop and the run did not end in time. Load again.",
    ),
    page(
        "set_twice",
        "A field is set in two places",
        "The config and the credential that it attaches both have the field. Remove it from one of them.",
    ),
    page(
        "source_busy",
        "All connections to the source are in use",
        "Wait as long as Retry-After says, or raise pool.max of the source.",
    ),
    page(
        "source_not_allowed",
        "The credential is not for this source",
        "Its allowed_sources names the sources and labels that may attach it.",
    ),
    page(
        "source_not_found",
        "Not found in the source",
        "The database, schema, table or file does not exist there; discovery lists what does.",
    ),
    page(
        "still_referenced",
        "It is still in use",
        "The detail names who uses it. Change or remove these first.",
    ),
    page(
        "storage_full",
        "The store's disk is full",
        "Make room on the disk of the service's own database.",
    ),
    page(
        "store_unavailable",
        "The store is away",
        "The service cannot reach its own database. Try again after Retry-After.",
    ),
    page("stream_exists", "The stream is there already", "Mode `fail` writes only what was not there. Write with another mode, or into another stream."),
    page("target_full", "There is no room in the target", "The disk of the folder is full; nothing was written. Make room and send the rows again."),
    page("target_locked", "Somebody else is writing there", "Another write into the same folder did not end in time. Try again later."),
    page(
        "timeout_too_long",
        "The timeout is too long",
        "timeout_ms may be at most load_ms of GET /v1/limits.",
    ),
    page(
        "tls",
        "TLS with the source failed",
        "The detail says why: an untrusted issuer, another host name, an expired certificate.",
    ),
    page(
        "too_deep",
        "Nested too deeply",
        "JSON is taken down to 128 levels of lists and objects. Flatten the body.",
    ),
    page(
        "too_large",
        "Too large",
        "The detail names the limit; GET /v1/limits lists all of them.",
    ),
    page(
        "too_large_to_compute",
        "Too large to compute",
        "Sorting, or what the input unpacks to, needs more memory and disk than this service allows. Narrow the read, sort by columns that the source can sort itself, or send the input in parts.",
    ),
    page(
        "too_many_columns",
        "Too many columns",
        "Name fewer columns; GET /v1/limits lists every limit.",
    ),
    page(
        "too_many_files",
        "Too many files",
        "Narrow the pattern, or give a root further down, and read the files in several streams.",
    ),
    page(
        "too_many_loads",
        "Too many loads at once",
        "Your key has as many loads running as it may. Wait as long as Retry-After says, or cancel one of them.",
    ),
    page(
        "too_many_steps",
        "Too many steps",
        "A list of steps, with those of its recipe, is longer than what one plan takes. Join steps over several columns into one, or send the rows through twice.",
    ),
    page(
        "unauthorized",
        "No valid key",
        "Send Authorization: Bearer <api key>. The first admin key is in the file named in the service's log.",
    ),
    page(
        "unavailable",
        "The source is not available",
        "It cannot be reached or broke off; POST /v1/sources/{s}/test shows the step that failed.",
    ),
    page(
        "unknown_column",
        "No such column",
        "The schema of the stream lists its columns; the detail names the nearest one.",
    ),
    page(
        "unknown_connector",
        "No such connector",
        "GET /v1/connectors lists what this build has.",
    ),
    page(
        "unknown_credential",
        "No such credential",
        "GET /v1/credentials lists the credentials your key may see.",
    ),
    page(
        "unknown_field",
        "Unknown field",
        "The detail names the nearest known field; the hint lists all of them.",
    ),
    page(
        "unknown_recipe",
        "No such recipe",
        "GET /v1/recipes lists the recipes your key may see, GET /v1/recipes/{recipe}/versions the versions of one.",
    ),
    page(
        "unknown_source",
        "No such source",
        "A step names a source that does not exist, or is outside what your key may see. GET /v1/sources lists them.",
    ),
    page(
        "unknown_step",
        "No such step",
        "GET /v1/transforms lists every step with the JSON Schema of its arguments; the detail names the nearest one.",
    ),
    page(
        "unknown_suggestion",
        "No such suggestion",
        "`suggestions` names what a profile may suggest; the hint lists every id, and `all` stands for those that a profile of the rows makes.",
    ),
    page(
        "unknown_type",
        "No such type",
        "The hint lists the types that can be asked for.",
    ),
    page(
        "unreadable_value",
        "A value cannot be read",
        "A step reads a column as numbers, dates or another type, and a cell is none; the detail names column, row and value. convert_type with `on_error` left at null makes null of such cells.",
    ),
    page(
        "unrepresentable",
        "A value has no place in its column's type",
        "Such as infinity in a date. Cast the column to text in a query, filter such rows out, or set unrepresentable to null in the source's config.",
    ),
    page(
        "unresolved_reference",
        "A reference is not resolved",
        "This build keeps such references and does not look them up yet. Give the field a literal value, or a credential that has one.",
    ),
    page(
        "unsupported",
        "Not supported",
        "This connector or build cannot do it.",
    ),
    page(
        "unsupported_media_type",
        "This media type is not taken",
        "The detail names what is taken.",
    ),
    page("unsupported_type", "The target has no such type", "The detail names the column. Convert it first, for example to string or json."),
    page(
        "uri_too_long",
        "The URL is too long",
        "Paths with their query are taken up to 32 KiB. The POST form of the operation takes the same in its body.",
    ),
];

/// The page of a code.
pub fn find(code: &str) -> Option<&'static Page> {
    PAGES.iter().find(|page| page.code == code)
}

/// The title of a code, or that of its kind.
pub fn title(code: &str, kind: Kind) -> &'static str {
    find(code)
        .or_else(|| find(kind.code()))
        .map_or("Something went wrong", |page| page.title)
}

#[cfg(test)]
mod tests {
    use super::PAGES;

    #[test]
    fn codes_are_unique_and_in_order() {
        assert!(PAGES.windows(2).all(|pair| pair[0].code < pair[1].code));
    }
}
