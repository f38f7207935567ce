use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, name: &str, expired: bool) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if expired {
            params.not_before = rcgen::date_time_ymd(2001, 1, 1);
            params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        (
            params.signed_by(&key, &self.0).unwrap().pem(),
            key.serialize_pem(),
        )
    }
}

fn server(pair: &(String, String), clients: Option<&Authority>) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = vec![CertificateDer::from_pem_slice(pair.0.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(pair.1.as_bytes()).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        Some(authority) => {
            let settings = TlsSettings {
                ca: Some(authority.0.pem()),
                ..TlsSettings::default()
            };
            let roots = settings.roots().unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
                .build()
                .unwrap();
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    Arc::new(builder.with_single_cert(chain, key).unwrap())
}

/// Shakes hands with a server and reads its greeting, which in TLS 1.3 is
/// where a missing client certificate shows.
async fn greet(config: Arc<ServerConfig>, settings: &TlsSettings, host: &str) -> Result<String> {
    let (mine, theirs) = tokio::io::duplex(64 * 1024);
    let serve = async move {
        if let Ok(mut stream) = tokio_rustls::TlsAcceptor::from(config).accept(theirs).await {
            let _ = stream.write_all(b"hello").await;
            let _ = stream.shutdown().await;
        }
    };
    let ask = async {
        let mut stream = connect_tls(Box::new(mine), settings, host).await?;
        let mut text = String::new();
        stream
            .read_to_string(&mut text)
            .await
            .map_err(|error| io_error(host, &error))?;
        Ok(text)
    };
    tokio::join!(serve, ask).1
}

fn trusting(authority: &Authority, mode: TlsMode) -> TlsSettings {
    TlsSettings {
        mode: Some(mode),
        ca: Some(authority.0.pem()),
        ..TlsSettings::default()
    }
}

async fn failure(config: Arc<ServerConfig>, settings: &TlsSettings, host: &str) -> String {
    let error = greet(config, settings, host).await.unwrap_err();
    assert_eq!(error.stable_code(), "tls", "{error}");
    assert!(error.hint_text().is_some());
    error.message().to_owned()
}

#[tokio::test]
async fn each_mode_checks_what_it_says() {
    let authority = Authority::new();
    let config = server(&authority.issue("db.example", false), None);
    let full = trusting(&authority, TlsMode::VerifyFull);
    assert_eq!(
        greet(config.clone(), &full, "db.example").await.unwrap(),
        "hello"
    );
    assert!(
        failure(config.clone(), &full, "other.example")
            .await
            .contains("not for the host name")
    );
    let named = TlsSettings {
        server_name: Some("db.example".into()),
        ..full
    };
    assert_eq!(
        greet(config.clone(), &named, "10.0.0.1").await.unwrap(),
        "hello"
    );
    let chain = trusting(&authority, TlsMode::VerifyCa);
    assert_eq!(
        greet(config.clone(), &chain, "other.example")
            .await
            .unwrap(),
        "hello"
    );
    let stranger = Authority::new();
    for mode in [TlsMode::VerifyCa, TlsMode::VerifyFull] {
        let said = failure(config.clone(), &trusting(&stranger, mode), "db.example").await;
        assert!(said.contains("not trusted"), "{said}");
    }
    let system = TlsSettings {
        mode: Some(TlsMode::VerifyFull),
        ..TlsSettings::default()
    };
    assert!(
        failure(config.clone(), &system, "db.example")
            .await
            .contains("not trusted")
    );
    for mode in [TlsMode::Prefer, TlsMode::Require] {
        let none = TlsSettings {
            mode: Some(mode),
            ..TlsSettings::default()
        };
        assert_eq!(
            greet(config.clone(), &none, "other.example").await.unwrap(),
            "hello"
        );
    }
}

#[tokio::test]
async fn an_expired_certificate_is_named() {
    let authority = Authority::new();
    let config = server(&authority.issue("db.example", true), None);
    for mode in [TlsMode::VerifyCa, TlsMode::VerifyFull] {
        let said = failure(config.clone(), &trusting(&authority, mode), "db.example").await;
        assert!(said.contains("expired"), "{said}");
    }
}

#[tokio::test]
async fn client_certificates_are_shown_and_missed() {
    let authority = Authority::new();
    let config = server(&authority.issue("db.example", false), Some(&authority));
    let mut settings = trusting(&authority, TlsMode::VerifyFull);
    let said = failure(config.clone(), &settings, "db.example").await;
    assert!(said.contains("wants a client certificate"), "{said}");
    let (cert, key) = authority.issue("reader", false);
    (settings.cert, settings.key) = (Some(cert), Some(Secret::new(key)));
    assert_eq!(
        greet(config.clone(), &settings, "db.example")
            .await
            .unwrap(),
        "hello"
    );
    let (cert, key) = Authority::new().issue("reader", false);
    (settings.cert, settings.key) = (Some(cert), Some(Secret::new(key)));
    let said = failure(config, &settings, "db.example").await;
    assert!(
        said.contains("does not accept the client certificate"),
        "{said}"
    );
}

#[test]
fn the_default_verifies_all_but_this_machine() {
    let settings = TlsSettings::default();
    for host in ["db.example", "10.0.0.1", "localhost.example", "::2"] {
        assert_eq!(settings.mode_for(host), TlsMode::VerifyFull, "{host}");
    }
    for host in [
        "localhost",
        "127.0.0.1",
        "::1",
        "[::1]",
        "::ffff:127.0.0.1",
        "127.9.9.9",
    ] {
        assert_eq!(settings.mode_for(host), TlsMode::Prefer, "{host}");
    }
}

#[test]
fn wrong_settings_point_to_their_field() {
    let settings = |json: serde_json::Value| serde_json::from_value::<TlsSettings>(json).unwrap();
    for (json, pointer) in [
        (serde_json::json!({"ca": "nonsense"}), "/ca"),
        (serde_json::json!({"mode": "require", "ca": "x"}), "/ca"),
        (serde_json::json!({"cert": "x"}), "/key"),
        (serde_json::json!({"key": "x"}), "/cert"),
        (serde_json::json!({"cert": "x", "key": "y"}), "/cert"),
        (serde_json::json!({"server_name": "a b"}), "/server_name"),
    ] {
        let error = settings(json.clone()).check().unwrap_err();
        assert_eq!(error.fields()[0].pointer, pointer, "{json}");
    }
    let (cert, _) = Authority::new().issue("a", false);
    let (_, key) = Authority::new().issue("b", false);
    let pair = TlsSettings {
        cert: Some(cert),
        key: Some(Secret::new(key)),
        ..TlsSettings::default()
    };
    assert_eq!(
        TlsClient::new(&pair, "h").err().unwrap().fields()[0].pointer,
        "/key"
    );
}
