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

/// All codes, in alphabetical order.
pub const PAGES: &[Page] = &[
    page(
        "authentication",
        "The source did not accept the credentials",
        "Check user, password, certificate and database; POST /v1/sources/{s}/test shows the step that failed.",
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
        "conflict",
        "Something stands in the way",
        "The name is taken, the thing is in use, or the same request is already running.",
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
        "The source sent a value that does not fit its declared type; the detail names the column.",
    ),
    page(
        "deadline",
        "The deadline passed",
        "The query was stopped in the source. Raise timeout_ms or narrow the read.",
    ),
    page(
        "dns",
        "The host name could not be resolved",
        "Check the spelling of the host, and that this service can resolve it.",
    ),
    page(
        "egress_denied",
        "The address is not allowed",
        "Egress rules refuse this address. Link-local and cloud metadata addresses can never be reached.",
    ),
    page(
        "forbidden",
        "Your key may not do this",
        "GET /v1/whoami shows the role of your key; ask an admin for a key with a higher one.",
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
        "malformed",
        "The request could not be parsed",
        "Check that the body is well-formed and the Content-Type is right.",
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
    page(
        "no_route",
        "No such path",
        "GET /openapi.json lists every path.",
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
        "not_ready",
        "The service is not ready",
        "It is starting, stopping, or its store is away. Try again after Retry-After.",
    ),
    page(
        "panic",
        "Something went wrong inside weir",
        "This is a fault of ours; the request was ended and nothing else was harmed.",
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
        "read_only",
        "Only reading is allowed",
        "A query is exactly one statement that only reads.",
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
        "source_busy",
        "All connections to the source are in use",
        "Wait as long as Retry-After says, or raise pool.max of the source.",
    ),
    page(
        "source_not_found",
        "Not found in the source",
        "The database, schema, table or file does not exist there; discovery lists what does.",
    ),
    page(
        "store_unavailable",
        "The store is away",
        "The service cannot reach its own database. Try again after Retry-After.",
    ),
    page(
        "tls",
        "TLS with the source failed",
        "The detail says why: an untrusted issuer, another host name, an expired certificate.",
    ),
    page(
        "too_large",
        "Too large",
        "The detail names the limit; GET /v1/limits lists all of them.",
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
        "unknown_field",
        "Unknown field",
        "The detail names the nearest known field; the hint lists all of them.",
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
