//! Connection URLs. Only what is named here is taken: a parameter that would
//! reach into the driver or the server is refused by its name.

use percent_encoding::percent_decode_str;
use weir_core::config::nearest;
use weir_core::{Error, Result, Secret};
use weir_net::TlsMode;

use crate::shared::settings::tls_mode;

const PARAMETERS: [&str; 2] = ["ssl-mode", "connect-timeout"];

/// What a URL says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct UrlParts {
    /// Host, without brackets.
    pub host: Option<String>,
    /// Port.
    pub port: Option<u16>,
    /// Path.
    pub database: Option<String>,
    /// User.
    pub user: Option<String>,
    /// Password.
    pub password: Option<Secret>,
    /// Parameter `ssl-mode`.
    pub tls_mode: Option<TlsMode>,
    /// Parameter `connect-timeout`, in seconds.
    pub connect_timeout: Option<u32>,
}

fn bad(message: impl Into<String>) -> Error {
    Error::invalid("/url", message).hint("write mysql://user:password@host:port/database")
}

/// Parses a URL. No text of the URL comes back in an error: it holds a password.
pub fn parse(text: &str) -> Result<UrlParts> {
    let url = url::Url::parse(text).map_err(|error| bad(format!("not a url: {error}")))?;
    if !matches!(url.scheme(), "mysql" | "mariadb") {
        return Err(bad("the url must start with mysql:// or mariadb://"));
    }
    if url.fragment().is_some() {
        return Err(bad("the url has a `#`; in a password write it as %23"));
    }
    let host = url.host_str().map(|host| {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        decode(bare)
    });
    let host = host.transpose()?.filter(|host| !host.is_empty());
    if host
        .as_deref()
        .is_some_and(|host| host.contains([',', '/', '(']))
    {
        return Err(bad(
            "the url names several hosts or a unix socket; one host is taken",
        ));
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
        "ssl-mode" => {
            let mode = mode(value).ok_or_else(|| {
                bad("ssl-mode is not one of disabled, preferred, required, verify_ca, verify_identity")
            })?;
            parts.tls_mode = Some(mode);
        }
        "connect-timeout" => {
            let seconds = value
                .parse()
                .map_err(|_| bad("connect-timeout is not a whole number of seconds"))?;
            parts.connect_timeout = Some(seconds);
        }
        _ => {
            let message = match nearest(name, &PARAMETERS) {
                Some(near) => format!("unknown parameter `{name}` in url; did you mean `{near}`?"),
                None => format!("unknown parameter `{name}` in url"),
            };
            return Err(Error::invalid("/url", message)
                .code("unknown_field")
                .hint("ssl-mode and connect-timeout are taken; certificates go into tls"));
        }
    }
    Ok(())
}

/// The modes as MySQL's own programs spell them, or as other sources do.
fn mode(text: &str) -> Option<TlsMode> {
    let text = text.to_ascii_lowercase().replace('_', "-");
    match text.as_str() {
        "disabled" => Some(TlsMode::Disable),
        "preferred" => Some(TlsMode::Prefer),
        "required" => Some(TlsMode::Require),
        "verify-identity" => Some(TlsMode::VerifyFull),
        other => tls_mode(other),
    }
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
            parse("mysql://a%40b:p%2Fw%23%3A@[::1]:6000/my%20db?ssl-mode=VERIFY_IDENTITY").unwrap();
        assert_eq!(parts.host.as_deref(), Some("::1"));
        assert_eq!(parts.port, Some(6000));
        assert_eq!(parts.database.as_deref(), Some("my db"));
        assert_eq!(parts.user.as_deref(), Some("a@b"));
        assert_eq!(parts.password.unwrap().expose(), "p/w#:");
        assert_eq!(parts.tls_mode, Some(TlsMode::VerifyFull));
        assert_eq!(parse("mariadb://h").unwrap().database, None);
    }

    #[test]
    fn what_reaches_into_drivers_and_servers_is_refused() {
        for parameter in [
            "allowLoadLocalInfile=true",
            "allowLoadLocalInfileInPath=/",
            "allowUrlInLocalInfile=true",
            "autoDeserialize=true",
            "init_command=x",
            "initSQL=x",
            "sessionVariables=a=1",
            "allowMultiQueries=true",
            "local_infile=1",
            "allowAllFiles=true",
            "queryInterceptors=x",
            "statementInterceptors=x",
            "socketFactory=x",
            "propertiesTransform=x",
            "allowPublicKeyRetrieval=true",
            "allowCleartextPasswords=true",
            "enable_cleartext_plugin=1",
            "serverRSAPublicKeyFile=/x",
            "trustCertificateKeyStoreUrl=file:/x",
            "clientCertificateKeyStoreUrl=file:/x",
            "unix_socket=/x",
            "socket=/x",
            "read_default_file=/x",
            "plugin_dir=/x",
            "charset=gbk",
            "sql_mode=x",
            "useSSL=false",
            "serverTimezone=x",
            "connectionAttributes=x",
            "disabledAuthenticationPlugins=x",
            "ssl-mode=other",
            "detectCustomCollations=true",
            "profilerEventHandler=x",
            "gatherPerfMetrics=true",
        ] {
            let error = parse(&format!("mysql://u:secret@h/d?{parameter}")).unwrap_err();
            assert_eq!(error.fields()[0].pointer, "/url", "{parameter}");
            assert!(!format!("{error:?}").contains("secret"));
        }
        for bad in [
            "",
            "mysql",
            "http://h",
            "mysql://u@h#x",
            "mysql://u@a,b/d",
            "mysql://u@%2ftmp/d",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_password_comes_through(password in "[^\\x00]{1,20}") {
            let encoded = percent_encoding::utf8_percent_encode(&password, percent_encoding::NON_ALPHANUMERIC);
            let parts = parse(&format!("mysql://u:{encoded}@h/d")).unwrap();
            let read = parts.password.unwrap();
            prop_assert_eq!(read.expose(), password.as_str());
        }
    }
}
