//! What `Content-Type` and `Content-Encoding` say of a body.

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use weir_core::{Error, Kind, Result};
use weir_formats::Format;
use weir_formats::decode::DecodeOptions;

use crate::ContentEncoding;

/// The media type of a body, with the parameters that CSV has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// The format.
    pub format: Format,
    charset: Option<String>,
    header: Option<bool>,
}

/// Every media type that bodies of rows may have, for `Accept-Post`.
pub fn accepted() -> String {
    Format::ALL.map(Format::media_type).join(", ")
}

impl Media {
    /// A body of `format`.
    pub fn of(format: Format) -> Self {
        Media {
            format,
            charset: None,
            header: None,
        }
    }

    /// The format that `Content-Type` names; without one it is 415.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self> {
        let given = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let refused = |message: String| {
            Error::new(Kind::MediaType, message).hint(format!("send one of {}", accepted()))
        };
        let text = given.ok_or_else(|| refused("the body has no Content-Type".to_owned()))?;
        let essence = text.split(';').next().unwrap_or_default().trim();
        let format = Format::from_media_type(essence)
            .ok_or_else(|| refused(format!("rows cannot be read from `{essence}`")))?;
        let parameter = |name: &str| {
            text.split(';').skip(1).find_map(|part| {
                let (key, value) = part.split_once('=')?;
                let is_it = key.trim().eq_ignore_ascii_case(name);
                is_it.then(|| value.trim().trim_matches('"').to_ascii_lowercase())
            })
        };
        Ok(Media {
            format,
            charset: parameter("charset"),
            header: parameter("header").and_then(|value| match value.as_str() {
                "present" => Some(true),
                "absent" => Some(false),
                _ => None,
            }),
        })
    }

    /// RFC 4180 says in the media type what text it is and whether it has a header.
    pub(super) fn apply(&self, options: &mut DecodeOptions) {
        if self.format == Format::Csv {
            options.csv.encoding = options.csv.encoding.take().or(self.charset.clone());
            options.csv.header = options.csv.header.or(self.header);
        }
    }
}

/// How the body is packed.
pub(super) fn coding(headers: &HeaderMap) -> Result<Option<ContentEncoding>> {
    let Some(value) = headers.get(CONTENT_ENCODING) else {
        return Ok(None);
    };
    match value
        .to_str()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
        .as_str()
    {
        "" | "identity" => Ok(None),
        "gzip" | "x-gzip" => Ok(Some(ContentEncoding::Gzip)),
        "zstd" => Ok(Some(ContentEncoding::Zstd)),
        other => {
            let shown: String = other.chars().take(64).collect();
            Err(Error::new(
                Kind::MediaType,
                format!("bodies packed as `{shown}` are not taken"),
            )
            .hint("send it plain, or with Content-Encoding gzip or zstd"))
        }
    }
}
