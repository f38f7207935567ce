//! Connection URLs. Only what is named here is taken: a parameter that would
//! reach into the driver or the server is refused by its name.

use percent_encoding::percent_decode_str;
use weir_core::config::nearest;
use weir_core::{Error, Result, Secret};
use weir_net::TlsMode;

/// How the URLs of one system are written.
pub struct Form {
    /// What they may start with; errors name them.
    pub schemes: &'static [&'static str],
    /// One of them, for hints.
    pub example: &'static str,
    /// The parameter of the TLS mode.
    pub tls: &'static str,
    /// What it may be, for errors, and what each means.
    pub modes: (&'static str, fn(&str) -> Option<TlsMode>),
    /// The parameter of the time that connecting may take.
    pub timeout: &'static str,
    /// The parameter of the database, where there is one beside the path.
    pub database: Option<&'static str>,
}

/// What a URL says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct UrlParts {
    /// Host, without brackets.
    pub host: Option<String>,
    /// Port.
    pub port: Option<u16>,
    /// Path, or the parameter of the database.
    pub database: Option<String>,
    /// User.
    pub user: Option<String>,
    /// Password.
    pub password: Option<Secret>,
    /// TLS mode.
    pub tls_mode: Option<TlsMode>,
    /// Time that connecting may take, in seconds.
    pub connect_timeout: Option<u32>,
}

impl Form {
    fn bad(&self, message: impl Into<String>) -> Error {
        Error::invalid("/url", message).hint(format!("write {}", self.example))
    }

    /// Parses a URL. No text of the URL comes back in an error: it holds a password.
    pub fn parse(&self, text: &str) -> Result<UrlParts> {
        let url = url::Url::parse(text).map_err(|error| self.bad(format!("not a url: {error}")))?;
        if !self.schemes.contains(&url.scheme()) {
            let schemes: Vec<String> = self.schemes.iter().map(|s| format!("{s}://")).collect();
            let message = format!("the url must start with {}", schemes.join(" or "));
            return Err(self.bad(message));
        }
        if url.fragment().is_some() {
            return Err(self.bad("the url has a `#`; in a password write it as %23"));
        }
        let host = url.host_str().map(|host| {
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            self.decode(bare)
        });
        let host = host.transpose()?.filter(|host| !host.is_empty());
        if host.as_deref().is_some_and(|host| host.contains(',')) {
            return Err(self.bad("the url names several hosts; one is taken"));
        }
        if host
            .as_deref()
            .is_some_and(|host| host.contains(['/', '(']))
        {
            return Err(self.bad("the url names a unix socket; only TCP is spoken"));
        }
        let mut parts = UrlParts {
            host,
            port: url.port(),
            database: filled(self.decode(url.path().strip_prefix('/').unwrap_or_default())?),
            user: filled(self.decode(url.username())?),
            password: url
                .password()
                .map(|text| self.decode(text))
                .transpose()?
                .map(Secret::new),
            ..UrlParts::default()
        };
        for (name, value) in url.query_pairs() {
            self.take(&mut parts, &name, &value)?;
        }
        Ok(parts)
    }

    fn take(&self, parts: &mut UrlParts, name: &str, value: &str) -> Result<()> {
        if name == self.tls {
            let (known, mode) = self.modes;
            let mode = mode(value);
            let mode = mode.ok_or_else(|| self.bad(format!("{name} is not one of {known}")))?;
            parts.tls_mode = Some(mode);
        } else if name == self.timeout {
            let seconds = value.parse();
            let why = format!("{name} is not a whole number of seconds");
            parts.connect_timeout = Some(seconds.map_err(|_| self.bad(why))?);
        } else if self.database == Some(name) {
            if parts.database.is_some() {
                return Err(self.bad("the url names the database twice"));
            }
            parts.database = filled(value.to_owned());
        } else {
            return Err(self.unknown(name));
        }
        Ok(())
    }

    fn unknown(&self, name: &str) -> Error {
        let parameters = [Some(self.tls), Some(self.timeout), self.database];
        let known: Vec<&str> = parameters.into_iter().flatten().collect();
        let message = match nearest(name, &known) {
            Some(near) => format!("unknown parameter `{name}` in url; did you mean `{near}`?"),
            None => format!("unknown parameter `{name}` in url"),
        };
        let [first @ .., last] = known.as_slice() else {
            return self.bad(message);
        };
        Error::invalid("/url", message)
            .code("unknown_field")
            .hint(format!(
                "{} and {last} are taken; certificates go into tls",
                first.join(", ")
            ))
    }

    fn decode(&self, text: &str) -> Result<String> {
        let decoded = percent_decode_str(text).decode_utf8();
        let decoded = decoded.map_err(|_| self.bad("the url is not UTF-8"))?;
        Ok(decoded.into_owned())
    }
}

fn filled(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
