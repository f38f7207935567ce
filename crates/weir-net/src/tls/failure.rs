//! TLS failures in words that name the cause.

use rustls::{AlertDescription, CertificateError};
use weir_core::{Error, SourceFault};

/// The error of a stream to `host` that broke: code `tls` where TLS is the
/// cause, `unavailable` where the connection just ended. Also for reads after
/// the handshake, where a refused client certificate shows.
pub fn io_error(host: &str, error: &std::io::Error) -> Error {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(inner) => {
            let (message, hint) = explain(host, inner);
            Error::source(SourceFault::Unavailable, message)
                .code("tls")
                .hint(hint)
                .detail(inner)
        }
        None => Error::source(
            SourceFault::Unavailable,
            format!("the connection to {host} broke off"),
        )
        .hint("look at the server's log; a proxy or firewall in between may close connections too")
        .detail(error),
    }
}

fn explain(host: &str, error: &rustls::Error) -> (String, &'static str) {
    match error {
        rustls::Error::InvalidCertificate(cause) => certificate(host, cause),
        rustls::Error::AlertReceived(alert) => alert_from(host, *alert),
        rustls::Error::PeerIncompatible(_) => (
            format!("{host} and this service have no TLS version or cipher in common"),
            "the server must offer TLS 1.2 or newer",
        ),
        rustls::Error::InvalidMessage(_) => (
            format!("{host} did not answer in TLS"),
            "check that the port is the one that serves TLS, or set tls.mode to disable",
        ),
        _ => (
            format!("TLS with {host} failed"),
            "look at the server's log and its TLS settings",
        ),
    }
}

fn certificate(host: &str, cause: &CertificateError) -> (String, &'static str) {
    use CertificateError as C;
    match cause {
        // A wrong signature is that of another authority with the same name.
        C::UnknownIssuer | C::BadSignature => (
            format!("the certificate of {host} comes from an authority that is not trusted"),
            "put the authority's certificate (PEM) into tls.ca",
        ),
        C::NotValidForName | C::NotValidForNameContext { .. } => (
            format!("the certificate is not for the host name {host}"),
            "connect by a name that the certificate carries, set tls.server_name to it, or use mode verify-ca",
        ),
        C::Expired | C::ExpiredContext { .. } => (
            format!("the certificate of {host} has expired"),
            "renew the server's certificate",
        ),
        C::NotValidYet | C::NotValidYetContext { .. } => (
            format!("the certificate of {host} is not valid yet"),
            "check the clocks of this machine and of the one that made the certificate",
        ),
        C::Revoked => (
            format!("the certificate of {host} was revoked"),
            "renew the server's certificate",
        ),
        C::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => (
            format!("{host} shows an authority's own certificate as its server certificate"),
            "give the server a certificate of its own, signed by the authority in tls.ca",
        ),
        _ => (
            format!("the certificate of {host} is not acceptable"),
            "look at the certificate: its form, signature algorithm and key usage",
        ),
    }
}

fn alert_from(host: &str, alert: AlertDescription) -> (String, &'static str) {
    use AlertDescription as A;
    match alert {
        A::CertificateRequired => (
            format!("{host} wants a client certificate"),
            "set tls.cert and tls.key to the client certificate and its key",
        ),
        A::BadCertificate
        | A::UnsupportedCertificate
        | A::CertificateRevoked
        | A::CertificateExpired
        | A::CertificateUnknown
        | A::UnknownCA
        | A::DecryptError
        | A::AccessDenied => (
            format!("{host} does not accept the client certificate"),
            "check that tls.cert comes from an authority that the server trusts and has not expired",
        ),
        A::UnrecognisedName => (
            format!("{host} does not know the name it was asked for"),
            "set tls.server_name to the name that the server serves",
        ),
        A::ProtocolVersion | A::HandshakeFailure | A::InsufficientSecurity => (
            format!("{host} and this service have no TLS version or cipher in common"),
            "the server must offer TLS 1.2 or newer",
        ),
        _ => (
            format!("{host} ended the TLS handshake"),
            "look at the server's log",
        ),
    }
}
