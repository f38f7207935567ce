//! TLS over a dialed stream: verified by default, and errors that name the cause.

mod failure;
mod verify;

#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_rustls::TlsConnector;
use weir_core::{Dialed, Error, Result, Secret};

pub use failure::io_error;

/// How far a server must prove who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// No TLS.
    Disable,
    /// TLS when the server offers it; its certificate is not checked.
    Prefer,
    /// TLS or nothing; the certificate is not checked.
    Require,
    /// The certificate must come from a known authority; the name is not checked.
    VerifyCa,
    /// The certificate must come from a known authority and be for this host.
    VerifyFull,
}

/// TLS towards a source.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// `disable`, `prefer`, `require`, `verify-ca` or `verify-full`. Unset: `verify-full`, but
    /// `prefer` for a host that is this machine itself (`localhost`, `127.0.0.0/8`, `::1`).
    #[serde(default)]
    pub mode: Option<TlsMode>,
    /// Certificates of the authorities to trust, PEM. Unset: those that the system trusts.
    #[serde(default)]
    pub ca: Option<String>,
    /// Client certificate and its chain, PEM.
    #[serde(default)]
    pub cert: Option<String>,
    /// Private key of the client certificate, PEM, not encrypted.
    #[serde(default)]
    pub key: Option<Secret>,
    /// The name that the certificate must carry, when it is not `host`.
    #[serde(default)]
    #[schemars(extend("x-endpoint" = true))]
    pub server_name: Option<String>,
}

impl TlsSettings {
    /// The mode that holds for `host`.
    ///
    /// A connection inside this machine cannot be listened to by somebody who
    /// could not read the process as well, and local servers rarely have a
    /// certificate worth checking; everything else is verified.
    pub fn mode_for(&self, host: &str) -> TlsMode {
        match self.mode {
            Some(mode) => mode,
            None if is_this_machine(host) => TlsMode::Prefer,
            None => TlsMode::VerifyFull,
        }
    }

    /// Checks what the schema cannot say; pointers are relative to the settings.
    pub fn check(&self) -> Result<()> {
        let unverified = self.mode.is_some_and(|mode| mode < TlsMode::VerifyCa);
        if unverified && self.ca.is_some() {
            let message = "a ca is only used by the modes verify-ca and verify-full";
            return Err(
                Error::invalid("/ca", message).hint("set mode to verify-full, or leave ca out")
            );
        }
        if self.mode == Some(TlsMode::Disable) && self.cert.is_some() {
            return Err(Error::invalid(
                "/cert",
                "a client certificate needs tls, which mode disable turns off",
            ));
        }
        self.roots()?;
        self.identity()?;
        if let Some(name) = &self.server_name {
            server_name(name).map_err(|e| e.under("/server_name"))?;
        }
        Ok(())
    }

    fn roots(&self) -> Result<Arc<RootCertStore>> {
        let Some(ca) = &self.ca else {
            return Ok(system_roots());
        };
        let bad = || {
            Error::invalid("/ca", "not a PEM certificate")
                .hint("paste the authority's certificate from BEGIN CERTIFICATE to END CERTIFICATE")
        };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
            roots
                .add(certificate.map_err(|_| bad())?)
                .map_err(|e| bad().detail(e))?;
        }
        if roots.is_empty() {
            return Err(bad());
        }
        Ok(Arc::new(roots))
    }

    fn identity(&self) -> Result<Option<Identity>> {
        let (cert, key) = match (&self.cert, &self.key) {
            (None, None) => return Ok(None),
            (Some(cert), Some(key)) => (cert, key),
            (Some(_), None) => {
                return Err(Error::invalid("/key", "a client certificate needs its key"));
            }
            (None, Some(_)) => {
                return Err(Error::invalid(
                    "/cert",
                    "a client key needs its certificate",
                ));
            }
        };
        let bad_cert = || Error::invalid("/cert", "not a PEM certificate");
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(cert.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|_| bad_cert())?;
        if chain.is_empty() {
            return Err(bad_cert());
        }
        let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes()).map_err(|_| {
            Error::invalid("/key", "not a PEM private key")
                .hint("an encrypted key must be decrypted first; PKCS#8, PKCS#1 and SEC1 are read")
        })?;
        Ok(Some((chain, key)))
    }
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Whether `host` is this machine itself, by its spelling alone.
fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.to_canonical().is_loopback())
}

fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    Arc::clone(ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (known, ignored) = roots.add_parsable_certificates(found.certs);
        tracing::debug!(
            known,
            ignored,
            failed = found.errors.len(),
            "loaded the system's certificates"
        );
        Arc::new(roots)
    }))
}

fn server_name(name: &str) -> Result<ServerName<'static>> {
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(bare.to_owned()).map_err(|_| {
        Error::invalid("", format!("`{name}` is not a host name or address")).code("tls")
    })
}

/// TLS settings made ready for many handshakes.
#[derive(Clone)]
pub struct TlsClient {
    connector: TlsConnector,
    name: ServerName<'static>,
    host: String,
    mode: TlsMode,
}

impl TlsClient {
    /// Prepares `settings` for `host`.
    pub fn new(settings: &TlsSettings, host: &str) -> Result<Self> {
        let mode = settings.mode_for(host);
        let name = server_name(settings.server_name.as_deref().unwrap_or(host))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(Error::internal)?;
        let builder = match mode {
            TlsMode::VerifyFull => builder.with_root_certificates(settings.roots()?),
            TlsMode::VerifyCa => builder
                .dangerous()
                .with_custom_certificate_verifier(verify::Chain::of(settings.roots()?, &provider)),
            TlsMode::Disable | TlsMode::Prefer | TlsMode::Require => builder
                .dangerous()
                .with_custom_certificate_verifier(verify::Nothing::with(&provider)),
        };
        let config = match settings.identity()? {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|error| {
                Error::invalid("/key", "the key does not belong to the client certificate")
                    .detail(error)
            })?,
            None => builder.with_no_client_auth(),
        };
        let connector = TlsConnector::from(Arc::new(config));
        Ok(TlsClient {
            connector,
            name,
            host: host.to_owned(),
            mode,
        })
    }

    /// The mode that holds.
    pub fn mode(&self) -> TlsMode {
        self.mode
    }

    /// Shakes hands over `stream`; an error has the code `tls` and names the cause.
    pub async fn connect(&self, stream: Box<dyn Dialed>) -> Result<Box<dyn Dialed>> {
        match self.connector.connect(self.name.clone(), stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(io_error(&self.host, &error)),
        }
    }
}

/// Shakes hands over `stream` for a server at `host`. Whoever connects often
/// keeps a [`TlsClient`].
pub async fn connect_tls(
    stream: Box<dyn Dialed>,
    settings: &TlsSettings,
    host: &str,
) -> Result<Box<dyn Dialed>> {
    TlsClient::new(settings, host)?.connect(stream).await
}
