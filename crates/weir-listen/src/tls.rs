//! HTTPS: one certificate, read again when its files change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::RwLock;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;
use weir_core::{Error, Kind, Result};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// A certificate and how to serve with it. Cheap to clone.
#[derive(Clone)]
pub struct ServerTls {
    files: Arc<Files>,
    current: Arc<Current>,
    config: Arc<rustls::ServerConfig>,
}

struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read()))
    }
}

impl ServerTls {
    /// Reads a PEM chain and its PEM key. The error names the file.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self> {
        let files = Files {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        };
        let current = Arc::new(Current(RwLock::new(Arc::new(files.read()?))));
        let mut config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(ServerTls {
            files: Arc::new(files),
            current,
            config: Arc::new(config),
        })
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }

    /// Reads the files again whenever they change, for ever. New handshakes get
    /// the new certificate; a bad file is told and the old one stays.
    pub async fn follow(self) {
        let mut seen = self.files.changed();
        loop {
            tokio::time::sleep(LOOK).await;
            let now = self.files.changed();
            if now == seen {
                continue;
            }
            seen = now;
            match self.files.read() {
                Ok(read) => {
                    *self.current.0.write() = Arc::new(read);
                    tracing::info!("serving with the new certificate");
                }
                Err(error) => tracing::warn!(
                    "the changed certificate cannot be used, the old one stays: {error}"
                ),
            }
        }
    }
}

impl Files {
    fn changed(&self) -> [Option<SystemTime>; 2] {
        [&self.certificate, &self.key]
            .map(|path| std::fs::metadata(path).and_then(|m| m.modified()).ok())
    }

    fn read(&self) -> Result<CertifiedKey> {
        let failed = |path: &Path, what: &str| {
            Error::new(Kind::Malformed, format!("{what} in {}", path.display())).code("tls_files")
        };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect)
            .map_err(|error| {
                failed(&self.certificate, &format!("no PEM certificates ({error})"))
            })?;
        if chain.is_empty() {
            return Err(failed(&self.certificate, "no certificate"));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| failed(&self.key, &format!("no PEM key ({error})")))?;
        let provider = rustls::crypto::CryptoProvider::get_default()
            .ok_or_else(|| Error::internal("no TLS provider was installed"))?;
        CertifiedKey::from_der(chain, key, provider)
            .map_err(|error| failed(&self.key, &format!("a key that does not fit ({error})")))
    }
}
