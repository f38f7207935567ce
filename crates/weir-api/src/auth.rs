//! Who is asking: bearer keys, roles, and the extractors that demand them.
//!
//! A handler without one of the extractors cannot be mounted under `/v1`
//! unnoticed: the layer here refuses every request there that has no valid key.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::AUTHORIZATION;
use http::request::Parts;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use weir_core::{Error, Kind, Secret};
use weir_store::Actor;
pub use weir_store::Scopes;

use crate::problem::ApiError;
use crate::request::RequestId;
use crate::state::App;

/// What a key may do; each role includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads objects and rows.
    Reader,
    /// Also makes, changes and tests sources.
    Editor,
    /// Everything.
    Admin,
}

impl Role {
    /// Its name in the store and in answers.
    pub fn name(self) -> &'static str {
        match self {
            Role::Reader => "reader",
            Role::Editor => "editor",
            Role::Admin => "admin",
        }
    }

    /// The role of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Role::Reader, Role::Editor, Role::Admin]
            .into_iter()
            .find(|r| r.name() == name)
    }
}

/// The caller of a request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Id of the key.
    pub key_id: uuid::Uuid,
    /// Name of the key.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// What it may see.
    pub scopes: Scopes,
    /// When the key stops working.
    pub expires_at: Option<chrono::DateTime<chrono::Utc>>,
    /// Id of the request.
    pub request_id: String,
    /// Where the request came from.
    pub address: Option<String>,
}

impl Caller {
    /// Who acts, for the audit.
    pub fn actor(&self) -> Actor {
        Actor {
            key_id: Some(self.key_id),
            name: self.name.clone(),
            request_id: self.request_id.clone(),
            address: self.address.clone(),
        }
    }

    fn is_expired(&self) -> bool {
        self.expires_at.is_some_and(|at| at <= chrono::Utc::now())
    }

    /// Refuses labels that would put an object outside of what the key sees.
    pub fn check_inside(&self, labels: &BTreeMap<String, String>) -> weir_core::Result<()> {
        if self.scopes.contains(labels) {
            return Ok(());
        }
        let scopes = self.scopes.texts().join(", ");
        let message = format!("your key only makes objects that carry one of the labels {scopes}");
        Err(Error::invalid("/labels", message)
            .code("outside_scope")
            .hint("add one of these labels, or use a key without scopes"))
    }
}

/// SHA-256 of a key: keys are 256 random bits, so a slow hash adds nothing.
pub fn hash_key(key: &Secret) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, key.expose().as_bytes()).as_ref());
    hash
}

/// Recently seen keys, so that not every request asks the store. A revoked key
/// is forgotten at once when the message of it arrives, and at the latest when
/// its entry has aged out.
#[derive(Default)]
pub struct KeyCache(Mutex<Keys>);

#[derive(Default)]
struct Keys {
    kept: HashMap<[u8; 32], (Instant, Caller)>,
    /// Grows when something is forgotten: what was read before is not kept.
    changes: u64,
    /// When the use of a key was last noted in the store.
    noted: HashMap<uuid::Uuid, Instant>,
}

const KEY_AGE: Duration = Duration::from_secs(2);
/// How often the use of a key is noted at most.
const NOTED: Duration = Duration::from_secs(60);
const KEYS_KEPT: usize = 10_000;

impl KeyCache {
    fn get(&self, hash: &[u8; 32]) -> Option<Caller> {
        let keys = self.0.lock();
        let (at, caller) = keys.kept.get(hash)?;
        (at.elapsed() < KEY_AGE && !caller.is_expired()).then(|| caller.clone())
    }

    /// A mark to hand to [`KeyCache::put`], taken before the store is asked.
    fn mark(&self) -> u64 {
        self.0.lock().changes
    }

    fn put(&self, mark: u64, hash: [u8; 32], caller: Caller) {
        let mut keys = self.0.lock();
        if keys.changes != mark {
            return;
        }
        if keys.kept.len() >= KEYS_KEPT {
            keys.kept.retain(|_, (at, _)| at.elapsed() < KEY_AGE);
        }
        keys.kept.insert(hash, (Instant::now(), caller));
    }

    /// Whether the use of a key is to be noted in the store now.
    fn is_due(&self, id: uuid::Uuid) -> bool {
        let mut keys = self.0.lock();
        if keys.noted.get(&id).is_some_and(|at| at.elapsed() < NOTED) {
            return false;
        }
        if keys.noted.len() >= KEYS_KEPT {
            keys.noted.retain(|_, at| at.elapsed() < NOTED);
        }
        keys.noted.insert(id, Instant::now());
        true
    }

    /// Forgets a key that was changed or revoked.
    pub fn forget(&self, id: uuid::Uuid) {
        let mut keys = self.0.lock();
        keys.changes += 1;
        keys.kept.retain(|_, (_, caller)| caller.key_id != id);
    }

    /// Forgets all keys.
    pub fn clear(&self) {
        let mut keys = self.0.lock();
        keys.changes += 1;
        keys.kept.clear();
    }
}

/// Refuses requests without a valid key and tells handlers who is asking.
pub async fn authenticate(State(app): State<App>, mut request: Request, next: Next) -> Response {
    match identify(&app, request.headers()).await {
        Ok(mut caller) => {
            let parts = request.extensions_mut();
            caller.request_id = parts
                .get()
                .map_or_else(String::new, |RequestId(id)| id.clone());
            caller.address = parts
                .get()
                .map(|ConnectInfo(from): &ConnectInfo<SocketAddr>| from.ip().to_string());
            parts.insert(caller);
            next.run(request).await
        }
        Err(error) => ApiError(error).into_response(),
    }
}

async fn identify(app: &App, headers: &http::HeaderMap) -> weir_core::Result<Caller> {
    let key = bearer(headers)?;
    let hash = hash_key(&key);
    if let Some(caller) = app.keys().get(&hash) {
        return Ok(caller);
    }
    let mark = app.keys().mark();
    let row = app.store.find_api_key(hash).await?.ok_or_else(refused)?;
    let role =
        Role::parse(&row.role).ok_or_else(|| Error::internal("a key with an unknown role"))?;
    let scopes = Scopes::parse(&row.scopes)
        .map_err(|bad| Error::internal(format!("a key with the unknown scope `{bad}`")))?;
    let caller = Caller {
        key_id: row.id,
        name: row.name,
        role,
        scopes,
        expires_at: row.expires_at,
        request_id: String::new(),
        address: None,
    };
    if caller.is_expired() {
        return Err(refused());
    }
    app.keys().put(mark, hash, caller.clone());
    note_use(app, caller.key_id);
    Ok(caller)
}

/// Notes the use of a key, off the path of the request.
fn note_use(app: &App, id: uuid::Uuid) {
    if !app.keys().is_due(id) {
        return;
    }
    let store = app.store.clone();
    let noted = async move {
        if let Err(error) = store.touch_api_key(id).await {
            tracing::debug!(
                detail = error.log_detail(),
                "use of a key not noted: {error}"
            );
        }
    };
    app.store.tasks().spawn(noted).detach();
}

fn bearer(headers: &http::HeaderMap) -> weir_core::Result<Secret> {
    let missing = || {
        Error::new(Kind::Unauthorized, "this path needs an api key")
            .hint("send the header Authorization: Bearer <api key>; the first admin key is in the file named in the service's log")
    };
    let value = headers.get(AUTHORIZATION).ok_or_else(missing)?;
    let text = value.to_str().map_err(|_| refused())?;
    let (scheme, key) = text.split_once(' ').ok_or_else(missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(missing());
    }
    Ok(Secret::new(key.trim()))
}

fn refused() -> Error {
    Error::new(Kind::Unauthorized, "the api key is not valid")
        .hint("it may be misspelt, expired or revoked; ask an admin for a new one")
}

/// Any valid key.
pub struct Reader(pub Caller);
/// At least an editor.
pub struct Editor(pub Caller);
/// An admin.
pub struct Admin(pub Caller);

fn demand(parts: &Parts, least: Role) -> Result<Caller, ApiError> {
    let caller = parts
        .extensions
        .get::<Caller>()
        .ok_or_else(|| Error::internal("a guarded handler outside the guarded routes"))?;
    if caller.role < least {
        let message = format!(
            "this needs the role {}, your key has {}",
            least.name(),
            caller.role.name()
        );
        return Err(Error::new(Kind::Forbidden, message)
            .hint("GET /v1/whoami shows what your key may do")
            .into());
    }
    Ok(caller.clone())
}

impl<S: Sync> FromRequestParts<S> for Reader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        demand(parts, Role::Reader).map(Reader)
    }
}

impl<S: Sync> FromRequestParts<S> for Editor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        demand(parts, Role::Editor).map(Editor)
    }
}

impl<S: Sync> FromRequestParts<S> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        demand(parts, Role::Admin).map(Admin)
    }
}
