//! `multipart/form-data` (RFC 7578): a request and its rows in one body. The
//! parts are read in the order in which they come and never kept, so that the
//! last of them may be as large as a body may be.

use std::fmt;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::stream;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::BodyExt;
use weir_core::config::{escape_pointer, nearest};
use weir_core::{Error, Kind, Result};

use super::paced::body_error;

/// Bytes of the headers of one part, and of what may stand before the first.
const HEAD: usize = 16 << 10;

/// Characters of a boundary at most, by RFC 2046.
const BOUNDARY: usize = 70;

/// The parts of a body, one after the other.
pub struct Parts {
    body: Body,
    buffer: BytesMut,
    /// Line break, two dashes, boundary.
    delimiter: Vec<u8>,
    known: &'static [&'static str],
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first delimiter.
    Before,
    /// Inside the data of a part.
    Inside,
    /// Behind a delimiter.
    Behind,
    /// Behind the last delimiter.
    End,
}

/// One part, of which the headers have been read.
#[derive(Debug)]
pub struct Part {
    /// Its field name.
    pub name: String,
    /// The name of the file that it was.
    pub file_name: Option<String>,
    /// Its headers.
    pub headers: HeaderMap,
}

/// What is wrong with a body of parts; travels as the error of a body.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// It is no such body, or breaks off.
    Malformed(&'static str),
    /// A part where none is taken.
    Part { name: String, message: String },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Malformed(message) => f.write_str(message),
            Fault::Part { message, .. } => f.write_str(message),
        }
    }
}

impl std::error::Error for Fault {}

impl Fault {
    /// What it means for the caller.
    pub(super) fn error(&self) -> Error {
        let hint = "send multipart/form-data with the part `request` (JSON) first, then `data`";
        match self {
            Fault::Malformed(message) => Error::new(Kind::Malformed, *message).hint(hint),
            Fault::Part { name, message } => {
                let pointer = format!("/{}", escape_pointer(name));
                Error::invalid(pointer, message.clone()).hint(hint)
            }
        }
    }
}

type Read<T> = std::result::Result<T, axum::Error>;

fn malformed(message: &'static str) -> axum::Error {
    axum::Error::new(Fault::Malformed(message))
}

impl Parts {
    /// The parts of `body`, named `known` in this order, where its headers say
    /// that it has parts; else the body as it is.
    pub fn of(
        headers: &HeaderMap,
        body: Body,
        known: &'static [&'static str],
    ) -> Result<std::result::Result<Self, Body>> {
        let text = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let essence = text.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("multipart/form-data") {
            return Ok(Err(body));
        }
        let boundary = parameter(text, "boundary")
            .filter(|text| (1..=BOUNDARY).contains(&text.len()) && text.is_ascii());
        let boundary = boundary.ok_or_else(|| {
            Fault::Malformed("the Content-Type of a body of parts names no usable boundary").error()
        })?;
        Ok(Ok(Parts {
            body,
            // The first delimiter needs no line break before it.
            buffer: BytesMut::from(&b"\r\n"[..]),
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            known,
            state: State::Before,
        }))
    }

    /// The next part; what is left of the one before is skipped.
    pub async fn next(&mut self) -> Result<Option<Part>> {
        self.advance().await.map_err(|error| body_error(&error))
    }

    /// The data of the current part, of at most `most` bytes.
    pub async fn whole(&mut self, most: usize) -> Result<Bytes> {
        let mut all = BytesMut::new();
        while let Some(bytes) = self.chunk().await.map_err(|error| body_error(&error))? {
            if all.len() + bytes.len() > most {
                let message = format!("the part is larger than {most} bytes");
                return Err(Error::new(Kind::TooLarge, message)
                    .code("json_too_large")
                    .hint("GET /v1/limits lists every limit"));
            }
            all.extend_from_slice(&bytes);
        }
        Ok(all.freeze())
    }

    /// The data of the current part as a body. It fails unless the part is
    /// complete and the last one.
    pub fn last(self) -> Body {
        let data = stream::try_unfold(self, |mut parts| async move {
            if let Some(bytes) = parts.chunk().await? {
                return Ok(Some((bytes, parts)));
            }
            match parts.advance().await? {
                None => Ok(None),
                Some(part) => Err(axum::Error::new(parts.misplaced(part.name))),
            }
        });
        Body::from_stream(data)
    }

    /// That a part of this name stands where it is not taken.
    pub fn refused(&self, name: String) -> Error {
        self.misplaced(name).error()
    }

    fn misplaced(&self, name: String) -> Fault {
        let names = self.known;
        let message = match names.iter().find(|known| **known == name) {
            Some(_) => format!("the part `{name}` stands in the wrong place"),
            None => match nearest(&name, names) {
                Some(near) => format!("unknown part `{name}`; did you mean `{near}`?"),
                None => format!("unknown part `{name}`"),
            },
        };
        Fault::Part { name, message }
    }

    async fn advance(&mut self) -> Read<Option<Part>> {
        while self.state == State::Inside {
            self.chunk().await?;
        }
        if self.state == State::Before {
            self.skip_to_first().await?;
        }
        if self.state == State::End {
            return Ok(None);
        }
        while self.buffer.len() < 2 {
            self.more().await?;
        }
        if self.buffer.starts_with(b"--") {
            self.state = State::End;
            return Ok(None);
        }
        let part = self.head().await?;
        self.state = State::Inside;
        Ok(Some(part))
    }

    /// Up to and with the first delimiter.
    async fn skip_to_first(&mut self) -> Read<()> {
        loop {
            if let Some(at) = find(&self.buffer, &self.delimiter) {
                drop(self.buffer.split_to(at + self.delimiter.len()));
                self.state = State::Behind;
                return Ok(());
            }
            if self.buffer.len() > HEAD {
                return Err(malformed("the body does not begin with its boundary"));
            }
            self.more().await?;
        }
    }

    /// The rest of the delimiter's line and the headers behind it.
    async fn head(&mut self) -> Read<Part> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at;
            }
            if self.buffer.len() > HEAD {
                return Err(malformed("the headers of a part are too long"));
            }
            self.more().await?;
        };
        let head = self.buffer.split_to(end + 4);
        part(&head[..end]).ok_or_else(|| malformed("the headers of a part cannot be read"))
    }

    /// The next bytes of the current part; none at its end.
    async fn chunk(&mut self) -> Read<Option<Bytes>> {
        if self.state != State::Inside {
            return Ok(None);
        }
        loop {
            if let Some(at) = find(&self.buffer, &self.delimiter) {
                let rest = self.buffer.split_to(at).freeze();
                drop(self.buffer.split_to(self.delimiter.len()));
                self.state = State::Behind;
                return Ok(Some(rest).filter(|rest| !rest.is_empty()));
            }
            // What may be the start of a delimiter stays.
            let sure = self.buffer.len().saturating_sub(self.delimiter.len());
            if sure > 0 {
                return Ok(Some(self.buffer.split_to(sure).freeze()));
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Read<()> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(bytes) = frame?.into_data()
                && !bytes.is_empty()
            {
                self.buffer.extend_from_slice(&bytes);
                return Ok(());
            }
        }
        Err(malformed("the body ended before its last boundary"))
    }
}

/// Where `wanted`, which begins with a carriage return, stands first.
fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| *byte == b'\r') {
        if bytes[from + at..].starts_with(wanted) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// A part by its headers, which follow the rest of the delimiter's line.
fn part(head: &[u8]) -> Option<Part> {
    let text = std::str::from_utf8(head).ok()?;
    let mut lines = text.split("\r\n");
    // Blanks may follow a boundary, nothing else.
    lines.next().filter(|rest| rest.trim().is_empty())?;
    let mut headers = HeaderMap::new();
    let mut disposition = None;
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let value = value.trim();
        if name == CONTENT_DISPOSITION {
            // Names of files need not be ASCII, so it is kept as text.
            disposition = Some(value);
        } else {
            headers.insert(name, HeaderValue::from_str(value).ok()?);
        }
    }
    let disposition = disposition?;
    let kind = disposition.split(';').next().unwrap_or_default().trim();
    Some(Part {
        name: parameter(disposition, "name").filter(|_| kind.eq_ignore_ascii_case("form-data"))?,
        file_name: parameter(disposition, "filename"),
        headers,
    })
}

/// A parameter of a header, whose value may be quoted.
fn parameter(header: &str, wanted: &str) -> Option<String> {
    let mut rest = header.split_once(';')?.1;
    loop {
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let (value, left) = match after.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let (value, left) = after.split_once(';').unwrap_or((after, ""));
                (value.trim().to_owned(), left)
            }
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = left.trim_start().trim_start_matches(';');
    }
}

/// Up to the closing quote, and what follows it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let (mut value, mut is_escaped) = (String::new(), false);
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => {
                // Browsers write folders of Windows with bare backslashes.
                if c != '"' && c != '\\' {
                    value.push('\\');
                }
                value.push(c);
                is_escaped = false;
            }
            '\\' => is_escaped = true,
            '"' => return Some((value, &text[at + 1..])),
            _ => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["request", "data"];

    /// The body in pieces of `size` bytes.
    fn parts(text: &str, size: usize) -> Parts {
        let pieces: Vec<Bytes> = text
            .as_bytes()
            .chunks(size)
            .map(Bytes::copy_from_slice)
            .collect();
        let body = Body::from_stream(stream::iter(
            pieces.into_iter().map(Ok::<_, std::io::Error>),
        ));
        let mut headers = HeaderMap::new();
        let media =
            HeaderValue::from_static("multipart/form-data; charset=utf-8; boundary=\"b-1\"");
        headers.insert(CONTENT_TYPE, media);
        Parts::of(&headers, body, KNOWN).unwrap().ok().unwrap()
    }

    async fn collected(body: Body) -> Result<String> {
        let read = body.collect().await;
        let bytes = read.map_err(|error| body_error(&error))?.to_bytes();
        Ok(String::from_utf8(bytes.to_vec()).unwrap())
    }

    const FINE: &str = "before\r\n--b-1 \r\nContent-Disposition: form-data; name=\"request\"\r\n\r\n{\"steps\":[]}\r\n\
        --b-1\r\ncontent-disposition: form-data; filename=\"a;\\\"b\\\".csv\"; name=data\r\nContent-Type: text/csv\r\n\r\n\
        a\r\n--b-\r\n1\r\n\r\n--b-1--\r\nafter";

    #[tokio::test]
    async fn parts_come_in_their_order_whatever_the_pieces() {
        for size in [1, 2, 3, 7, 64, 10_000] {
            let mut parts = parts(FINE, size);
            let request = parts.next().await.unwrap().unwrap();
            assert_eq!(request.name, "request");
            assert_eq!(parts.whole(100).await.unwrap(), "{\"steps\":[]}");
            let data = parts.next().await.unwrap().unwrap();
            assert_eq!(
                (data.name.as_str(), data.file_name.as_deref()),
                ("data", Some("a;\"b\".csv"))
            );
            assert_eq!(data.headers[CONTENT_TYPE], "text/csv");
            let text = collected(parts.last()).await.unwrap();
            assert_eq!(text, "a\r\n--b-\r\n1\r\n", "in pieces of {size}");
        }
    }

    #[tokio::test]
    async fn what_is_not_read_is_skipped_and_bounded() {
        let mut first = parts(FINE, 5);
        assert_eq!(first.next().await.unwrap().unwrap().name, "request");
        assert_eq!(first.next().await.unwrap().unwrap().name, "data");
        assert!(first.next().await.unwrap().is_none());
        assert!(first.next().await.unwrap().is_none());
        let mut second = parts(FINE, 5);
        second.next().await.unwrap();
        let error = second.whole(3).await.unwrap_err();
        assert_eq!(error.stable_code(), "json_too_large");
    }

    #[tokio::test]
    async fn a_cut_or_a_part_too_many_is_no_shorter_body() {
        let end = FINE.find("\r\n--b-1--").unwrap();
        for cut in [end - 1, end + 3, end + 8] {
            let mut parts = parts(&FINE[..cut], 9);
            parts.next().await.unwrap();
            parts.next().await.unwrap();
            let error = collected(parts.last()).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Malformed, "cut at {cut}");
        }
        let more = "\r\n--b-1\r\nContent-Disposition: form-data; name=\"dta\"\r\n\r\nx\r\n--b-1--";
        let text = format!("{}{more}", &FINE[..end]);
        let mut parts = parts(&text, 9);
        parts.next().await.unwrap();
        parts.next().await.unwrap();
        let error = collected(parts.last()).await.unwrap_err();
        assert_eq!(error.fields()[0].pointer, "/dta");
        assert!(error.message().contains("did you mean `data`"), "{error}");
    }

    #[tokio::test]
    async fn what_are_no_parts_is_refused() {
        let long = "x".repeat(40_000);
        let noise = format!("--b-1\r\nContent-Disposition: form-data; name=a; x={long}");
        for text in [
            "",
            "a,b\n1,2\n",
            "--b-1\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b-1--",
            "--b-1\r\n\r\nx\r\n--b-1--",
            "--b-1x\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--b-1--",
            &long,
            &noise,
        ] {
            let error = parts(text, 100).next().await.unwrap_err();
            assert_eq!(error.kind(), Kind::Malformed, "{error}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("multipart/form-data"),
        );
        assert!(Parts::of(&headers, Body::empty(), KNOWN).is_err());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/csv"));
        assert!(Parts::of(&headers, Body::empty(), KNOWN).unwrap().is_err());
    }
}
