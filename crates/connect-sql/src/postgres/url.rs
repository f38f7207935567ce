//! Connection URLs.

use weir_core::Result;

use crate::shared::settings::tls_mode;
use crate::shared::url::{Form, UrlParts};

static FORM: Form = Form {
    schemes: &["postgresql", "postgres"],
    example: "postgresql://user:password@host:port/database",
    tls: "sslmode",
    modes: ("disable, prefer, require, verify-ca, verify-full", tls_mode),
    timeout: "connect_timeout",
    database: Some("dbname"),
};

/// Parses a URL. No text of the URL comes back in an error: it holds a password.
pub fn parse(text: &str) -> Result<UrlParts> {
    FORM.parse(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use weir_net::TlsMode;

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
