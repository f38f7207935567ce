//! MotherDuck without its service: nothing here speaks to the network. No extension
//! is there, and none is ever fetched.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use connect_sql::duckdb::{DuckDbSettings, entry_with};
use serde_json::json;
use weir_core::{Error, Kind, OpenSource, SourceFault};
use weir_tests::project;

use crate::support::*;

const TOKEN: &str = "hunter2-of-motherduck";

async fn shop(extensions: Option<PathBuf>) -> OpenSource {
    let connector = entry_with(DuckDbSettings {
        library: Some(project::duckdb_library()),
        motherduck: extensions,
        ..DuckDbSettings::default()
    });
    let config = json!({"path": "md:shop", "motherduck_token": TOKEN, "pool": {"idle_seconds": 1}});
    connector.open(config, &context()).await.unwrap()
}

/// The error of a read, which comes soon and tells no token.
async fn refusal(source: &OpenSource) -> Error {
    let start = Instant::now();
    let error = failure(source, &stream("orders")).await;
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(
        !format!("{error:?} {error}").contains("hunter2"),
        "{error:?}"
    );
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_must_allow_it() {
    let error = refusal(&shop(None).await).await;
    assert_eq!(error.kind(), Kind::Forbidden);
    assert!(
        error
            .hint_text()
            .unwrap()
            .contains("WEIR_DUCKDB_MOTHERDUCK")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_or_foreign_extension_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let source = shop(Some(folder.path().to_owned())).await;
    // Twice: what failed is tried again.
    for _ in 0..2 {
        let error = refusal(&source).await;
        assert_eq!(error.kind(), Kind::Source(SourceFault::Unavailable));
        assert_eq!(error.stable_code(), "library_missing", "{error:?}");
        assert!(error.hint_text().unwrap().contains("WEIR_DATA_DIR"));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

    let library = libduckdb::Library::open(&project::duckdb_library()).unwrap();
    let place = format!("{}/linux_amd64", library.version());
    let place = folder.path().join(place);
    std::fs::create_dir_all(&place).unwrap();
    let forged = place.join("motherduck.duckdb_extension");
    std::fs::write(forged, vec![b'x'; 100_000]).unwrap();
    let error = refusal(&source).await;
    assert_eq!(error.stable_code(), "library_missing", "{error:?}");
}
