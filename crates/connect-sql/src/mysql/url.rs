//! Connection URLs.

use weir_core::Result;
use weir_net::TlsMode;

use crate::shared::settings::tls_mode;
use crate::shared::url::{Form, UrlParts};

static FORM: Form = Form {
    schemes: &["mysql", "mariadb"],
    example: "mysql://user:password@host:port/database",
    tls: "ssl-mode",
    modes: (
        "disabled, preferred, required, verify_ca, verify_identity",
        mode,
    ),
    timeout: "connect-timeout",
    database: None,
};

/// Parses a URL. No text of the URL comes back in an error: it holds a password.
pub fn parse(text: &str) -> Result<UrlParts> {
    FORM.parse(text)
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
