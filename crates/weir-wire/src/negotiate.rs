//! Which format a caller gets: suffix of the path > `?format=` > `Accept`.

use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING, HeaderName};
use serde::Deserialize;
use weir_core::config::nearest;
use weir_core::{Error, Kind, Result};

use crate::download::file_name;
use crate::{ArrowCodec, ContentEncoding, CsvOut, Format, ParquetCodec, RowsOptions, Shape};

/// The query parameters that say how rows leave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormatQuery {
    /// `json`, `ndjson`, `arrow`, `csv` or `parquet`.
    pub format: Option<String>,
    /// Inside an Arrow stream `none`, `lz4` or `zstd`; in Parquet `snappy`, too.
    pub compression: Option<String>,
    /// `objects`, `arrays`, and in previews `columns`.
    pub shape: Option<String>,
    /// Integers beyond ±(2^53−1) and decimals as JSON strings.
    pub js_safe: Option<bool>,
    /// A last line of NDJSON that says how it ended.
    pub end_marker: Option<bool>,
    /// `plain` or `modern`.
    pub arrow_types: Option<String>,
    /// Between the fields of CSV: one character, or `tab`.
    pub delimiter: Option<String>,
    /// CSV starts with a byte order mark.
    pub bom: Option<bool>,
    /// Formulas in CSV are made text.
    pub excel_safe: Option<bool>,
    /// The name a browser saves the answer under.
    pub download: Option<String>,
}

impl FormatQuery {
    /// Names of all parameters.
    pub const NAMES: &[&str] = &[
        "format",
        "compression",
        "shape",
        "js_safe",
        "end_marker",
        "arrow_types",
        "delimiter",
        "bom",
        "excel_safe",
        "download",
    ];
}

/// Settles how rows leave. `suffix` is the format the path names.
pub fn negotiate(
    suffix: Option<Format>,
    query: &FormatQuery,
    headers: &HeaderMap,
) -> Result<RowsOptions> {
    let accept = ranges(headers, &ACCEPT);
    let asked = query.format.as_deref().map(|name| {
        let row = |format: Format| (format.suffix(), format);
        one_of("format", name, &Format::ALL.map(row))
    });
    let format = match (suffix, asked.transpose()?) {
        (Some(format), _) | (None, Some(format)) => format,
        (None, None) => by_accept(&accept)?,
    };
    let codec = arrow_codec(format, query, &accept)?;
    // Who speaks of Arrow's own compression wants no other around it, and
    // Parquet is compressed inside.
    let is_packed = codec.is_some() || format == Format::Parquet;
    let download = query.download.as_deref();
    Ok(RowsOptions {
        format,
        shape: shape(format, query)?,
        js_safe: flag(
            query.js_safe,
            "js_safe",
            format,
            &[Format::Json, Format::Ndjson],
        )?,
        end_marker: flag(query.end_marker, "end_marker", format, &[Format::Ndjson])?,
        arrow_compression: codec.unwrap_or(None),
        arrow_modern: arrow_modern(format, query)?,
        csv: csv(format, query)?,
        parquet_compression: parquet_codec(format, query)?,
        content_encoding: content_encoding(headers, is_packed)?,
        download: download.map(|name| file_name(name, format)).transpose()?,
        envelope: false,
    })
}

fn one_of<T: Copy>(parameter: &str, given: &str, known: &[(&str, T)]) -> Result<T> {
    if let Some((_, value)) = known.iter().find(|(name, _)| *name == given) {
        return Ok(*value);
    }
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let message = match nearest(given, &names) {
        Some(near) => format!("`{parameter}` cannot be `{given}`; did you mean `{near}`?"),
        None => format!("`{parameter}` cannot be `{given}`"),
    };
    Err(Error::invalid(format!("?{parameter}"), message)
        .hint(format!("it takes one of: {}", names.join(", "))))
}

fn only_for(parameter: &str, formats: &[Format]) -> Error {
    let names: Vec<&str> = formats.iter().map(|format| format.suffix()).collect();
    let names = names.join(" or ");
    let message = format!("`{parameter}` goes with the format {names} only");
    Error::invalid(format!("?{parameter}"), message)
        .hint(format!("leave it out, or ask for format={names}"))
}

/// A flag that only some formats have.
fn flag(given: Option<bool>, name: &str, format: Format, of: &[Format]) -> Result<bool> {
    let wanted = given.unwrap_or(false);
    if wanted && !of.contains(&format) {
        return Err(only_for(name, of));
    }
    Ok(wanted)
}

fn csv(format: Format, query: &FormatQuery) -> Result<CsvOut> {
    let mut options = CsvOut::default();
    options.bom = flag(query.bom, "bom", format, &[Format::Csv])?;
    options.excel_safe = flag(query.excel_safe, "excel_safe", format, &[Format::Csv])?;
    let Some(given) = &query.delimiter else {
        return Ok(options);
    };
    if format != Format::Csv {
        return Err(only_for("delimiter", &[Format::Csv]));
    }
    let byte = match given.as_bytes() {
        b"tab" => Some(b'\t'),
        [byte] => Some(*byte),
        _ => None,
    };
    byte.and_then(|byte| options.with_delimiter(byte))
        .ok_or_else(|| {
            Error::invalid("?delimiter", "`delimiter` is one character, or `tab`")
                .hint("such as , ; | or tab; nothing that may stand inside a number or a date")
        })
}

fn shape(format: Format, query: &FormatQuery) -> Result<Shape> {
    let known = [
        ("objects", Shape::Objects),
        ("arrays", Shape::Arrays),
        ("columns", Shape::Columns),
    ];
    let shape = match &query.shape {
        Some(given) => one_of("shape", given, &known)?,
        None => Shape::Objects,
    };
    if shape != Shape::Objects && format != Format::Json {
        return Err(only_for("shape", &[Format::Json]));
    }
    Ok(shape)
}

fn arrow_modern(format: Format, query: &FormatQuery) -> Result<bool> {
    let known = [("plain", false), ("modern", true)];
    let given = query.arrow_types.as_deref();
    let wanted = given.map(|given| one_of("arrow_types", given, &known));
    flag(wanted.transpose()?, "arrow_types", format, &[Format::Arrow])
}

fn parquet_codec(format: Format, query: &FormatQuery) -> Result<ParquetCodec> {
    let known = [
        ("none", ParquetCodec::None),
        ("snappy", ParquetCodec::Snappy),
        ("zstd", ParquetCodec::Zstd),
        ("lz4", ParquetCodec::Lz4),
    ];
    match &query.compression {
        Some(given) if format == Format::Parquet => one_of("compression", given, &known),
        _ => Ok(ParquetCodec::default()),
    }
}

/// `None`: nobody spoke of it. `Some(None)`: explicitly none.
fn arrow_codec(
    format: Format,
    query: &FormatQuery,
    accept: &[Range],
) -> Result<Option<Option<ArrowCodec>>> {
    if format == Format::Parquet {
        return Ok(None);
    }
    let known = [
        ("none", None),
        ("lz4", Some(ArrowCodec::Lz4)),
        ("zstd", Some(ArrowCodec::Zstd)),
    ];
    let asked = query
        .compression
        .as_deref()
        .map(|given| one_of("compression", given, &known));
    let asked = asked.transpose()?;
    if format != Format::Arrow {
        return match asked.flatten() {
            Some(_) => Err(only_for("compression", &[Format::Arrow, Format::Parquet])),
            None => Ok(None),
        };
    }
    if asked.is_some() {
        return Ok(asked);
    }
    let range = accept
        .iter()
        .find(|range| format.is_named(&range.name) && range.q > 0);
    Ok(range
        .and_then(|range| range.codecs.as_deref())
        .map(first_codec))
}

/// The first codec of the list that is known here.
fn first_codec(codecs: &str) -> Option<ArrowCodec> {
    let known = [ArrowCodec::Lz4, ArrowCodec::Zstd];
    codecs.split(',').find_map(|name| {
        let name = name.trim();
        known
            .into_iter()
            .find(|codec| codec.name().eq_ignore_ascii_case(name))
    })
}

/// One element of an `Accept` or `Accept-Encoding` header.
#[derive(Debug, PartialEq)]
struct Range {
    name: String,
    /// Thousandths.
    q: u16,
    codecs: Option<String>,
}

fn ranges(headers: &HeaderMap, name: &HeaderName) -> Vec<Range> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| split_unquoted(value, ','))
        .filter_map(range)
        .collect()
}

/// Splits at `separator` outside of quotes.
fn split_unquoted(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start, mut is_quoted) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        if c == '"' {
            is_quoted = !is_quoted;
        } else if c == separator && !is_quoted {
            parts.push(&text[start..at]);
            start = at + c.len_utf8();
        }
    }
    parts.push(&text[start..]);
    parts
}

fn range(text: &str) -> Option<Range> {
    let mut parts = split_unquoted(text, ';').into_iter().map(str::trim);
    let name = parts
        .next()
        .filter(|name| !name.is_empty())?
        .to_ascii_lowercase();
    let mut range = Range {
        name,
        q: 1000,
        codecs: None,
    };
    for (key, value) in parts.filter_map(|part| part.split_once('=')) {
        let value = value.trim().trim_matches('"');
        match key.trim().to_ascii_lowercase().as_str() {
            "q" => range.q = quality(value),
            "codecs" => range.codecs = Some(value.to_owned()),
            _ => {}
        }
    }
    Some(range)
}

/// Thousandths; what cannot be read counts as not given.
fn quality(text: &str) -> u16 {
    match text.parse::<f32>() {
        Ok(q) if (0.0..=1.0).contains(&q) => (q * 1000.0).round() as u16,
        _ => 1000,
    }
}

/// How closely a range names a format: 3 by name, 1 by `*/*`.
fn closeness(range: &Range, format: Format) -> u8 {
    let family = format.media_type().split('/').next();
    match range.name.as_str() {
        name if format.is_named(name) => 3,
        "*/*" | "*" => 1,
        name if name
            .strip_suffix("/*")
            .is_some_and(|name| Some(name) == family) =>
        {
            2
        }
        _ => 0,
    }
}

fn by_accept(accept: &[Range]) -> Result<Format> {
    if accept.is_empty() {
        return Ok(Format::Json);
    }
    // For each format the closest range decides; then the best q, then the
    // closest, then the first named.
    let rank = |format: Format| {
        let (place, range) = accept
            .iter()
            .enumerate()
            .filter(|(_, range)| closeness(range, format) > 0)
            .max_by_key(|(place, range)| (closeness(range, format), std::cmp::Reverse(*place)))?;
        let rank = (range.q, closeness(range, format), std::cmp::Reverse(place));
        (range.q > 0).then_some(rank)
    };
    let ranked = Format::ALL
        .into_iter()
        .rev()
        .filter_map(|format| Some((rank(format)?, format)));
    ranked
        .max_by_key(|(rank, _)| *rank)
        .map(|(_, format)| format)
        .ok_or_else(not_acceptable)
}

fn not_acceptable() -> Error {
    let types = Format::ALL.map(Format::media_type).join(", ");
    Error::new(
        Kind::NotAcceptable,
        "none of the accepted media types can be given",
    )
    .hint(format!(
        "accept one of {types}, or name the format with ?format="
    ))
}

/// `is_packed`: the body is compressed inside, or was asked not to be.
fn content_encoding(headers: &HeaderMap, is_packed: bool) -> Result<Option<ContentEncoding>> {
    let accepted = ranges(headers, &ACCEPT_ENCODING);
    let quality_of = |name: &str| {
        accepted
            .iter()
            .find(|range| range.name == name)
            .map(|r| r.q)
    };
    let any = quality_of("*");
    // Identity is acceptable unless refused, but it loses to what is named.
    let identity = quality_of("identity").or(any.filter(|q| *q == 0));
    let coded = [ContentEncoding::Zstd, ContentEncoding::Gzip];
    let best = coded
        .into_iter()
        .rev()
        .filter_map(|coding| Some((quality_of(coding.name()).filter(|q| *q > 0)?, coding)))
        .max_by_key(|(q, _)| *q)
        .filter(|_| !is_packed);
    let refused = || {
        Error::new(
            Kind::NotAcceptable,
            "none of the accepted encodings can be given",
        )
        .hint(if is_packed {
            "this format is compressed inside; accept the encoding identity"
        } else {
            "accept one of the encodings zstd, gzip, identity"
        })
    };
    match (best, identity) {
        (_, Some(0)) if is_packed => Err(refused()),
        (Some((q, _)), Some(plain)) if plain > q => Ok(None),
        (Some((_, coding)), _) => Ok(Some(coding)),
        (None, Some(0)) if any.is_some_and(|q| q > 0) => Ok(Some(ContentEncoding::Gzip)),
        (None, Some(0)) => Err(refused()),
        (None, _) => Ok(None),
    }
}

#[cfg(test)]
#[path = "negotiate_tests.rs"]
mod tests;
