//! Sources of local files, on real folders.

mod formats;
mod list;
mod parquet;
mod paths;
mod several;
mod sheets;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use weir_tests::{Answer, Client, Options, Service};

/// A service that may read one folder, and a source of a folder in it.
pub struct Place {
    home: TempDir,
    pub service: Service,
}

impl Place {
    /// With a source `f` of an empty folder.
    pub async fn new() -> Self {
        let place = Place::without_source(&[]).await;
        place.register("f", json!({})).await;
        place
    }

    /// With these settings beside the folder's.
    pub async fn without_source(settings: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(home.path().join("roots/mine")).unwrap();
        let roots = home.path().join("roots");
        let mut options = Options::fresh()
            .await
            .env("WEIR_FILE_ROOTS", roots.to_str().unwrap());
        for (name, value) in settings {
            options = options.env(name, value);
        }
        let service = options.start().await;
        Place { home, service }
    }

    /// Registers the folder with these settings of its own.
    pub async fn register(&self, name: &str, more: Value) {
        let mut config = json!({"root": self.root()});
        for (key, value) in more.as_object().unwrap() {
            config[key] = value.clone();
        }
        let body = json!({"name": name, "connector": "files", "config": config});
        self.client()
            .post("/v1/sources", &body)
            .await
            .expect_status(201);
    }

    /// The folders and the service, for tests that stop the one and keep the other.
    pub fn into_parts(self) -> (TempDir, Service) {
        (self.home, self.service)
    }

    pub fn client(&self) -> &Client {
        &self.service.client
    }

    /// What is outside of every root.
    pub fn outside(&self) -> &Path {
        self.home.path()
    }

    pub fn root(&self) -> PathBuf {
        self.home.path().join("roots/mine")
    }

    /// Writes a file below the root, and its folders.
    pub fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub async fn load(&self, body: &Value) -> Answer {
        self.client().post("/v1/sources/f/load.json", body).await
    }

    pub async fn rows(&self, body: &Value) -> Vec<Value> {
        self.client().rows("f", body).await
    }

    /// The code of a load that is refused, after a check of its status.
    pub async fn refused(&self, body: &Value, status: u16) -> String {
        let problem = self.load(body).await.expect_status(status);
        problem["code"].as_str().unwrap().to_owned()
    }
}
