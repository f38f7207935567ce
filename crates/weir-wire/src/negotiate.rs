//! Which format a caller gets: suffix of the path > `?format=` > `Accept`.

use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING, HeaderName};
use serde::Deserialize;
use weir_core::config::nearest;
use weir_core::{Error, Kind, Result};

use crate::{ArrowCodec, ContentEncoding, Format, RowsOptions, Shape};

/// The query parameters that say how rows leave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormatQuery {
    /// `json`, `ndjson` or `arrow`.
    pub format: Option<String>,
    /// `none`, `lz4` or `zstd`: buffers inside an Arrow stream.
    pub compression: Option<String>,
    /// `objects`, `arrays`, and in previews `columns`.
    pub shape: Option<String>,
    /// Integers beyond ±(2^53−1) and decimals as JSON strings.
    pub js_safe: Option<bool>,
    /// A last line of NDJSON that says how it ended.
    pub end_marker: Option<bool>,
    /// `plain` or `modern`.
    pub arrow_types: Option<String>,
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
    let options = RowsOptions {
        format,
        shape: shape(format, query)?,
        js_safe: query.js_safe.unwrap_or(false),
        end_marker: end_marker(format, query)?,
        arrow_compression: codec.unwrap_or(None),
        arrow_modern: arrow_modern(query)?,
        // Who speaks of Arrow's own compression wants no other around it.
        content_encoding: if codec.is_some() {
            None
        } else {
            content_encoding(headers)?
        },
    };
    Ok(options)
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

fn only_for(parameter: &str, format: Format) -> Error {
    let message = format!(
        "`{parameter}` goes with the format {} only",
        format.suffix()
    );
    Error::invalid(format!("?{parameter}"), message).hint(format!(
        "leave it out, or ask for format={}",
        format.suffix()
    ))
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
        return Err(only_for("shape", Format::Json));
    }
    Ok(shape)
}

fn end_marker(format: Format, query: &FormatQuery) -> Result<bool> {
    let wanted = query.end_marker.unwrap_or(false);
    if wanted && format != Format::Ndjson {
        return Err(only_for("end_marker", Format::Ndjson));
    }
    Ok(wanted)
}

fn arrow_modern(query: &FormatQuery) -> Result<bool> {
    match &query.arrow_types {
        Some(given) => one_of("arrow_types", given, &[("plain", false), ("modern", true)]),
        None => Ok(false),
    }
}

/// `None`: nobody spoke of it. `Some(None)`: explicitly none.
fn arrow_codec(
    format: Format,
    query: &FormatQuery,
    accept: &[Range],
) -> Result<Option<Option<ArrowCodec>>> {
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
            Some(_) => Err(only_for("compression", Format::Arrow)),
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
    match range.name.as_str() {
        name if format.is_named(name) => 3,
        "application/*" => 2,
        "*/*" | "*" => 1,
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

fn content_encoding(headers: &HeaderMap) -> Result<Option<ContentEncoding>> {
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
        .max_by_key(|(q, _)| *q);
    match (best, identity) {
        (Some((q, _)), Some(plain)) if plain > q => Ok(None),
        (Some((_, coding)), _) => Ok(Some(coding)),
        (None, Some(0)) if any.is_some_and(|q| q > 0) => Ok(Some(ContentEncoding::Gzip)),
        (None, Some(0)) => Err(Error::new(
            Kind::NotAcceptable,
            "none of the accepted encodings can be given",
        )
        .hint("accept one of the encodings zstd, gzip, identity")),
        (None, _) => Ok(None),
    }
}

#[cfg(test)]
#[path = "negotiate_tests.rs"]
mod tests;
