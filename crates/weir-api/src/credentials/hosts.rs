//! Where a config leads: the hosts it names, and the patterns they must match.

use std::net::IpAddr;

use serde_json::Value;
use url::Url;
use weir_core::{AnyConnector, Error, Result, config};

/// Fields below an endpoint that name no host.
const NO_HOST: &[&str] = &[
    "port", "mode", "ca", "cert", "key", "user", "username", "timeout",
];
/// TLS modes that do not prove who answers.
const UNPROVEN: &[&str] = &["disable", "allow", "prefer", "require"];

/// A host that a config names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Normalised; empty where it cannot be told.
    pub host: String,
    /// Where one is named or known as the default.
    pub port: Option<u16>,
    /// JSON pointer into the config.
    pub pointer: String,
}

/// The values of every field that says *where*, by pointer: two configs with
/// equal ones lead to the same place in the same way.
pub fn endpoints(connector: &dyn AnyConnector, whole: &Value) -> Vec<(String, Value)> {
    let facts = connector.facts();
    let found = facts.endpoint.iter().filter_map(|path| {
        let value = config::get(whole, path).filter(|value| !value.is_null())?;
        Some((pointer(path), value.clone()))
    });
    found.collect()
}

fn pointer(path: &[String]) -> String {
    path.iter()
        .map(|part| format!("/{}", config::escape_pointer(part)))
        .collect()
}

/// The pointer of the first endpoint that differs between two configs.
pub fn moved(connector: &dyn AnyConnector, before: &Value, after: &Value) -> Option<String> {
    let filled = |whole, path| config::get(whole, path).filter(|value| !value.is_null());
    let path = connector
        .facts()
        .endpoint
        .iter()
        .find(|path| filled(before, path) != filled(after, path))?;
    Some(pointer(path))
}

/// Every host that the endpoint fields of a whole config name.
pub fn places(connector: &dyn AnyConnector, whole: &Value) -> Vec<Place> {
    let mut found: Vec<Place> = Vec::new();
    for path in &connector.facts().endpoint {
        if let Some(value) = config::get(whole, path) {
            let beside = path
                .split_last()
                .and_then(|(_, parents)| config::get(whole, parents));
            let port = port_beside(connector, beside, path);
            collect(value, pointer(path), port, &mut found);
        }
    }
    found.dedup_by(|a, b| a.pointer == b.pointer);
    found
}

/// The port in the field next to a host, or that field's default.
fn port_beside(
    connector: &dyn AnyConnector,
    beside: Option<&Value>,
    path: &[String],
) -> Option<u16> {
    let number = |value: &Value| u16::try_from(value.as_u64()?).ok();
    let set = beside
        .and_then(|parent| parent.get("port"))
        .filter(|port| !port.is_null());
    match set {
        Some(port) => number(port),
        None if path.len() == 1 => {
            number(&connector.config_schema()["properties"]["port"]["default"])
        }
        None => None,
    }
}

fn collect(value: &Value, pointer: String, port: Option<u16>, found: &mut Vec<Place>) {
    match value {
        Value::Object(_) if weir_core::reference::expression(value).is_some() => {
            // Where it leads is known only when it is looked up.
            found.push(Place {
                host: String::new(),
                port: None,
                pointer,
            });
        }
        Value::Object(fields) => {
            for (key, child) in fields {
                let below = format!("{pointer}/{}", config::escape_pointer(key));
                let port = fields
                    .get("port")
                    .and_then(Value::as_u64)
                    .and_then(|port| u16::try_from(port).ok());
                collect(child, below, port, found);
            }
        }
        Value::Array(items) => {
            for (index, child) in items.iter().enumerate() {
                collect(child, format!("{pointer}/{index}"), port, found);
            }
        }
        Value::String(text) => {
            let last = pointer.rsplit('/').next().unwrap_or_default();
            if NO_HOST.contains(&last) {
                return;
            }
            for one in text.split(',') {
                // A certificate's name has no port of its own.
                let port = if last == "server_name" { None } else { port };
                let (host, port) = read(one.trim(), port);
                found.push(Place {
                    host,
                    port,
                    pointer: pointer.clone(),
                });
            }
        }
        _ => {}
    }
}

/// Host and port of a URL, or of `host[:port]`.
fn read(text: &str, port: Option<u16>) -> (String, Option<u16>) {
    if text.contains("://") {
        let Ok(url) = Url::parse(text) else {
            return (String::new(), None);
        };
        let host = url.host_str().unwrap_or_default();
        let decoded = percent_encoding::percent_decode_str(host).decode_utf8();
        let host = decoded.map_or_else(|_| String::new(), |host| normal(&host));
        return (host, url.port_or_known_default().or(port));
    }
    let (host, own) = split_port(text);
    (normal(host), own.or(port))
}

/// `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address.
fn split_port(text: &str) -> (&str, Option<u16>) {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port),
        _ => return (text, None),
    };
    match port.parse() {
        Ok(port) => (host, Some(port)),
        // Not a port: the whole text stands for itself and matches nothing.
        Err(_) => (text, None),
    }
}

/// One spelling for each host: lower case, no dot at the end, addresses as the
/// system would read them.
fn normal(host: &str) -> String {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    match bare.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().to_string(),
        Err(_) => bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase(),
    }
}

/// Refuses what is no pattern: an exact host or `*.domain`, each with an optional `:port`.
pub fn check_pattern(text: &str) -> Result<(), String> {
    let (host, port) = split_port(text);
    let bare = host.strip_prefix("*.").unwrap_or(host);
    let inner = bare
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(bare);
    let address = inner.parse::<IpAddr>().is_ok();
    let plain = inner
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if inner.is_empty() || text.len() > 300 || !(address || plain) || port == Some(0) {
        return Err(format!(
            "`{text}` is not a host, `*.domain` or either with `:port`"
        ));
    }
    if host.starts_with("*.") && (address || !inner.contains('.')) {
        return Err(format!("`{text}` is wider than a domain"));
    }
    Ok(())
}

fn matches(pattern: &str, place: &Place) -> bool {
    let (host, port) = split_port(pattern);
    // The name in a certificate is bound by the host alone.
    let named = place.pointer.ends_with("/server_name");
    let port_fits = port.is_none() || named || port == place.port;
    let host_fits = match host.strip_prefix("*.") {
        Some(domain) => place
            .host
            .strip_suffix(&normal(domain))
            .is_some_and(|sub| sub.len() > 1 && sub.ends_with('.')),
        None => !place.host.is_empty() && place.host == normal(host),
    };
    port_fits && host_fits
}

/// Refuses a config that names a host outside of `patterns`, or none that can be checked.
pub fn check_allowed(credential: &str, patterns: &[String], places: &[Place]) -> Result<()> {
    let hint = "GET /v1/credentials/{c} shows its allowed_hosts; an admin may change them";
    if places.is_empty() {
        let message = format!(
            "the credential `{credential}` is bound to hosts, and this config names none that can be checked"
        );
        return Err(Error::invalid("/credential", message)
            .code("host_not_allowed")
            .hint(hint));
    }
    match places
        .iter()
        .find(|place| !patterns.iter().any(|pattern| matches(pattern, place)))
    {
        None => Ok(()),
        Some(place) => {
            let message = format!("the credential `{credential}` may not be sent to this host");
            Err(Error::invalid(format!("/config{}", place.pointer), message)
                .code("host_not_allowed")
                .hint(hint))
        }
    }
}

/// The pointer of a field that lets somebody in between pass for the host: TLS
/// that proves nothing, an authority of the caller's own, another name.
pub fn unproven(endpoints: &[(String, Value)]) -> Option<String> {
    endpoints.iter().find_map(|(pointer, value)| match value {
        Value::Object(fields) => fields.iter().find_map(|(key, child)| {
            let weak = match key.as_str() {
                "mode" | "sslmode" => child.as_str().is_none_or(|mode| UNPROVEN.contains(&mode)),
                "ca" | "server_name" | "known_hosts" | "host_key" => !child.is_null(),
                "verify" | "require" => child != &Value::Bool(true),
                _ => false,
            };
            weak.then(|| format!("{pointer}/{}", config::escape_pointer(key)))
        }),
        Value::String(text) if text.contains("://") => {
            let url = Url::parse(text).ok()?;
            let weak = url.query_pairs().any(|(name, value)| {
                name.to_ascii_lowercase().contains("ssl") && UNPROVEN.contains(&&*value)
            });
            weak.then(|| pointer.clone())
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        let (host, port) = read(text, Some(5432));
        Place {
            host,
            port,
            pointer: "/host".into(),
        }
    }

    #[test]
    fn patterns_match_what_they_say() {
        for (pattern, host, fits) in [
            ("db.example.com", "db.example.com", true),
            ("db.example.com", "DB.Example.com.", true),
            ("db.example.com", "xdb.example.com", false),
            ("db.example.com", "db.example.com.evil.net", false),
            ("*.example.com", "db.example.com", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "evilexample.com", false),
            ("*.example.com", ".example.com", false),
            ("db.example.com:5432", "db.example.com", true),
            ("db.example.com:5433", "db.example.com", false),
            ("db.example.com:5433", "db.example.com:5433", true),
            ("db.example.com", "postgres://u:p@db.example.com/x", true),
            (
                "db.example.com",
                "postgres://db.example.com:p@evil.net/x",
                false,
            ),
            ("db.example.com", "postgres://u:p@db%2Eexample.com/x", true),
            ("127.0.0.1", "::ffff:127.0.0.1", true),
            ("[::1]:5432", "0:0::1", true),
            ("::1", "[::1]:9", true),
            ("127.0.0.1", "127.0.0.1:99999", false),
            ("db.example.com", "", false),
            ("db.example.com", "db.example.com evil.net", false),
        ] {
            assert!(check_pattern(pattern).is_ok(), "{pattern}");
            assert_eq!(matches(pattern, &place(host)), fits, "{pattern} {host}");
        }
    }

    #[test]
    fn patterns_that_say_too_much_or_nothing_are_refused() {
        for bad in [
            "",
            "*",
            "*.com",
            "*.",
            "a*b.example.com",
            "https://x.example.com",
            "a b",
            "*.1.2.3.4",
            "h:0",
            "h:99999",
        ] {
            assert!(check_pattern(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_way_that_proves_nothing_is_seen() {
        let of = |value: Value| unproven(&[("/tls".to_owned(), value)]);
        let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(of(json("{}")), None);
        assert_eq!(of(json(r#"{"mode": "verify-full"}"#)), None);
        assert_eq!(
            of(json(r#"{"mode": "require"}"#)).as_deref(),
            Some("/tls/mode")
        );
        assert_eq!(of(json(r#"{"ca": "x"}"#)).as_deref(), Some("/tls/ca"));
        assert!(of(json(r#""postgres://h/d?sslmode=disable""#)).is_some());
    }
}
