//! Connection URLs. Only what is named here is taken: a parameter that would
//! reach into the driver or the server is refused by its name.

use percent_encoding::percent_decode_str;
use weir_core::config::nearest;
use weir_core::{Error, Result, Secret};
use weir_net::TlsMode;

use crate::shared::settings::tls_mode;

const PARAMETERS: [&str; 3] = ["sslmode", "connect_timeout", "dbname"];

/// What a URL says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct UrlParts {
    /// Host, without brackets.
    pub host: Option<String>,
    /// Port.
    pub port: Option<u16>,
    /// Path, or the parameter `dbname`.
    pub database: Option<String>,
    /// User.
    pub user: Option<String>,
    /// Password.
    pub password: Option<Secret>,
    /// Parameter `sslmode`.
    pub tls_mode: Option<TlsMode>,
    /// Parameter `connect_timeout`, in seconds.
    pub connect_timeout: Option<u32>,
}

fn bad(message: impl Into<String>) -> Error {
    Error::invalid("/url", message).hint("write postgresql://user:password@host:port/database")
}

/// Parses a URL. No text of the URL comes back in an error: it holds a password.
pub fn parse(text: &str) -> Result<UrlParts> {
    let url = url::Url::parse(text).map_err(|error| bad(format!("not a url: {error}")))?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(bad("the url must start with postgresql://"));
    }
    if url.fragment().is_some() {
        return Err(bad("the url has a `#`; in a password write it as %23"));
    }
    let host = url.host_str().map(|host| {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        decode(bare)
    });
    let host = host.transpose()?.filter(|host| !host.is_empty());
    if host.as_deref().is_some_and(|host| host.contains(',')) {
        return Err(bad("the url names several hosts; one is taken"));
    }
    if host.as_deref().is_some_and(|host| host.starts_with('/')) {
        return Err(bad("the url names a unix socket; only TCP is spoken"));
    }
    let mut parts = UrlParts {
        host,
        port: url.port(),
        database: filled(decode(url.path().strip_prefix('/').unwrap_or_default())?),
        user: filled(decode(url.username())?),
        password: url.password().map(decode).transpose()?.map(Secret::new),
        ..UrlParts::default()
    };
    for (name, value) in url.query_pairs() {
        take_parameter(&mut parts, &name, &value)?;
    }
    Ok(parts)
}

fn take_parameter(parts: &mut UrlParts, name: &str, value: &str) -> Result<()> {
    match name {
        "sslmode" => {
            let mode = tls_mode(value).ok_or_else(|| {
                bad("sslmode is not one of disable, prefer, require, verify-ca, verify-full")
            })?;
            parts.tls_mode = Some(mode);
        }
        "connect_timeout" => {
            let seconds = value
                .parse()
                .map_err(|_| bad("connect_timeout is not a whole number of seconds"))?;
            parts.connect_timeout = Some(seconds);
        }
        "dbname" if parts.database.is_none() => parts.database = filled(value.to_owned()),
        "dbname" => return Err(bad("the url names the database twice")),
        _ => {
            let message = match nearest(name, &PARAMETERS) {
                Some(near) => format!("unknown parameter `{name}` in url; did you mean `{near}`?"),
                None => format!("unknown parameter `{name}` in url"),
            };
            return Err(Error::invalid("/url", message)
                .code("unknown_field")
                .hint("sslmode, connect_timeout and dbname are taken; certificates go into tls"));
        }
    }
    Ok(())
}

fn decode(text: &str) -> Result<String> {
    let decoded = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| bad("the url is not UTF-8"))?;
    Ok(decoded.into_owned())
}

fn filled(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_are_decoded() {
        let parts =
            parse("postgresql://a%40b:p%2Fw%23@[::1]:6000/my%20db?sslmode=verify-full").unwrap();
        assert_eq!(parts.host.as_deref(), Some("::1"));
        assert_eq!(parts.port, Some(6000));
        assert_eq!(parts.database.as_deref(), Some("my db"));
        assert_eq!(parts.user.as_deref(), Some("a@b"));
        assert_eq!(parts.password.unwrap().expose(), "p/w#");
        assert_eq!(parts.tls_mode, Some(TlsMode::VerifyFull));
        assert_eq!(parse("postgres://h").unwrap().database, None);
        assert_eq!(
            parse("postgres://u@h?dbname=d")
                .unwrap()
                .database
                .as_deref(),
            Some("d")
        );
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for text in [
            "http://h",
            "h:5432",
            "postgres://a,b/d",
            "postgres://%2Ftmp/d",
            "postgres://h/d?sslmode=maybe",
            "postgres://h/d?options=-c%20x=1",
            "postgres://h/d?sslrootcert=/etc/x",
            "postgres://h/d?host=other",
            "postgres://h/d?dbname=e",
            "postgres://h/d#x",
            "postgres://h:99999/d",
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.fields()[0].pointer, "/url", "{text}");
        }
        let error = parse("postgres://h/d?ssl_mode=require").unwrap_err();
        assert!(
            error.message().contains("did you mean `sslmode`"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn passwords_come_through_and_errors_hide_them(password in "[^\\x00]{1,20}") {
            let encoded: String = password.bytes().map(|b| format!("%{b:02x}")).collect();
            let parts = parse(&format!("postgres://u:{encoded}@h/d")).unwrap();
            let read = parts.password.unwrap();
            prop_assert_eq!(read.expose(), password);
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in ".*") {
            let _ = parse(&text);
        }
    }
}
