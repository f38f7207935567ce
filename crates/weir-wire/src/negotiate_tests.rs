use super::*;
use proptest::prelude::*;

fn headers(accept: Option<&str>, encoding: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [(ACCEPT, accept), (ACCEPT_ENCODING, encoding)] {
        if let Some(value) = value {
            headers.insert(name, value.parse().unwrap());
        }
    }
    headers
}

fn by(accept: &str) -> Result<RowsOptions> {
    negotiate(None, &FormatQuery::default(), &headers(Some(accept), None))
}

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
const ARROW: &str = "application/vnd.apache.arrow.stream";

#[test]
fn accept_chooses_the_format() {
    let table = [
        ("*/*", Format::Json),
        ("application/*", Format::Json),
        (BROWSER, Format::Json),
        ("application/json", Format::Json),
        ("Application/JSON; charset=utf-8", Format::Json),
        ("application/x-ndjson", Format::Ndjson),
        ("application/jsonl", Format::Ndjson),
        (ARROW, Format::Arrow),
        ("application/x-ndjson, */*", Format::Ndjson),
        ("*/*, application/x-ndjson", Format::Ndjson),
        (
            "application/x-ndjson;q=0.5, application/json;q=0.4",
            Format::Ndjson,
        ),
        ("application/x-ndjson;q=0.4, */*;q=0.5", Format::Json),
        ("application/json;q=0, */*", Format::Ndjson),
        ("application/x-ndjson, application/json", Format::Ndjson),
        ("application/json, application/x-ndjson", Format::Json),
    ];
    for (accept, format) in table {
        assert_eq!(by(accept).unwrap().format, format, "{accept}");
    }
    let none = negotiate(None, &FormatQuery::default(), &HeaderMap::new()).unwrap();
    assert_eq!(none, RowsOptions::new(Format::Json));
}

#[test]
fn what_cannot_be_given_is_refused_with_what_can() {
    for accept in ["text/html", "image/png", "application/json;q=0", "*/*;q=0"] {
        let error = by(accept).unwrap_err();
        assert_eq!(error.kind(), Kind::NotAcceptable, "{accept}");
        assert!(error.hint_text().unwrap().contains(ARROW));
    }
}

#[test]
fn suffix_beats_format_beats_accept() {
    let query = FormatQuery {
        format: Some("ndjson".into()),
        ..FormatQuery::default()
    };
    let headers = headers(Some("image/png"), None);
    assert_eq!(
        negotiate(None, &query, &headers).unwrap().format,
        Format::Ndjson
    );
    let options = negotiate(Some(Format::Arrow), &query, &headers).unwrap();
    assert_eq!(options.format, Format::Arrow);
}

#[test]
fn encodings_follow_their_weights() {
    use ContentEncoding::{Gzip, Zstd};
    let table = [
        (None, None),
        (Some(""), None),
        (Some("identity"), None),
        (Some("gzip, deflate"), Some(Gzip)),
        (Some("deflate, gzip, br, zstd"), Some(Zstd)),
        (Some("gzip;q=1, zstd;q=0.5"), Some(Gzip)),
        (Some("gzip;q=0"), None),
        (Some("identity;q=1, gzip;q=0.5"), None),
        (Some("identity;q=0.5, gzip"), Some(Gzip)),
        (Some("br"), None),
        (Some("*"), None),
        (Some("identity;q=0, *"), Some(Gzip)),
        (Some("*;q=0, gzip"), Some(Gzip)),
    ];
    for (encoding, expected) in table {
        let found = negotiate(None, &FormatQuery::default(), &headers(None, encoding)).unwrap();
        assert_eq!(found.content_encoding, expected, "{encoding:?}");
    }
    for refused in ["identity;q=0", "*;q=0", "br, identity;q=0"] {
        let headers = headers(None, Some(refused));
        let error = negotiate(None, &FormatQuery::default(), &headers).unwrap_err();
        assert_eq!(error.kind(), Kind::NotAcceptable, "{refused}");
    }
}

#[test]
fn arrow_is_never_compressed_twice() {
    let with = |accept: &str, compression: Option<&str>| {
        let query = FormatQuery {
            compression: compression.map(Into::into),
            ..Default::default()
        };
        let options = negotiate(
            Some(Format::Arrow),
            &query,
            &headers(Some(accept), Some("gzip")),
        );
        let options = options.unwrap();
        (options.arrow_compression, options.content_encoding)
    };
    let gzip = Some(ContentEncoding::Gzip);
    assert_eq!(with(ARROW, None), (None, gzip));
    let codecs = format!("{ARROW}; codecs=\"br, zstd, lz4\"");
    assert_eq!(with(&codecs, None), (Some(ArrowCodec::Zstd), None));
    assert_eq!(with(&codecs, Some("lz4")), (Some(ArrowCodec::Lz4), None));
    assert_eq!(with(&codecs, Some("none")), (None, None));
    assert_eq!(with(&format!("{ARROW}; codecs=\"\""), None), (None, None));
}

#[test]
fn options_of_other_formats_are_refused_by_name() {
    let cases = [
        (
            Format::Json,
            FormatQuery {
                end_marker: Some(true),
                ..Default::default()
            },
            "?end_marker",
        ),
        (
            Format::Arrow,
            FormatQuery {
                shape: Some("arrays".into()),
                ..Default::default()
            },
            "?shape",
        ),
        (
            Format::Json,
            FormatQuery {
                compression: Some("zstd".into()),
                ..Default::default()
            },
            "?compression",
        ),
        (
            Format::Json,
            FormatQuery {
                shape: Some("array".into()),
                ..Default::default()
            },
            "?shape",
        ),
        (
            Format::Json,
            FormatQuery {
                arrow_types: Some("x".into()),
                ..Default::default()
            },
            "?arrow_types",
        ),
    ];
    for (format, query, pointer) in cases {
        let error = negotiate(Some(format), &query, &HeaderMap::new()).unwrap_err();
        assert_eq!(error.fields()[0].pointer, pointer);
    }
}

proptest! {
    #[test]
    fn no_header_panics(accept in "[ -~]{0,60}", encoding in "[ -~]{0,60}") {
        let _ = negotiate(None, &FormatQuery::default(), &headers(Some(&accept), Some(&encoding)));
    }
}
