//! A connector: one config struct, one handle, and the roles the handle has.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::nearest;
use crate::context::Context;
use crate::erased::{AnyConnector, Erased};
use crate::error::{Error, Kind, Result};
use crate::sink::Sink;
use crate::source::Source;

/// A system that Weir can speak to.
#[async_trait]
pub trait Connector: Send + Sync + 'static {
    /// The whole truth about its configuration: fields, docs, defaults,
    /// secrecy. Must refuse unknown fields.
    type Config: DeserializeOwned + JsonSchema + Send + Sync + 'static;

    /// What [`Connector::open`] gives: implements the role traits.
    type Handle: Send + Sync + 'static;

    /// Name, texts and an example for the catalogue.
    fn describe(&self) -> Descriptor;

    /// Checks what a schema cannot say. Pointers are relative to the config.
    fn validate(&self, config: &Self::Config) -> Result<()>;

    /// Makes a handle. Connects to nothing: pools fill when they are used.
    async fn open(&self, config: Self::Config, ctx: &Context) -> Result<Self::Handle>;
}

/// The kind of server a connector's tests ran against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TestedAgainst {
    /// The genuine system.
    Live,
    /// Another system that speaks the same protocol.
    Compatible,
    /// A well-kept emulator.
    Emulator,
    /// A stub of our own.
    Stub,
}

/// What a connector is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// Databases that speak SQL.
    Sql,
    /// Files and objects.
    Files,
    /// Comes with Weir.
    Builtin,
}

/// The catalogue's entry for a connector.
#[derive(Debug, Clone)]
pub struct Descriptor {
    /// Unique, lower case: `postgres`.
    pub kind: &'static str,
    /// For people: `PostgreSQL`.
    pub title: &'static str,
    /// What it is for.
    pub category: Category,
    /// Ways to log in, by name.
    pub auth_modes: &'static [&'static str],
    /// A config that validates; no real secret.
    pub example: Value,
    /// Markdown for people.
    pub docs: &'static str,
    /// The kind of server the tests ran against.
    pub tested_against: TestedAgainst,
    /// Version written with each source's config.
    pub config_version: u32,
}

/// Something a connector can do. Derived from the roles of its [`Entry`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// Walk the steps of a connection.
    Test,
    /// List streams.
    Discover,
    /// A few rows.
    Preview,
    /// All rows, streamed.
    Load,
    /// Rows into streams.
    Write,
}

/// A connector with the roles its handle was proved to have: each `with_…`
/// compiles only where the handle implements the trait, so the declared
/// capabilities cannot disagree with the code.
pub struct Entry<C: Connector> {
    pub(crate) connector: C,
    pub(crate) source: Option<AsSource<C::Handle>>,
    pub(crate) sink: Option<AsSink<C::Handle>>,
}

/// How a handle is seen as a source; exists only where it is one.
type AsSource<Handle> = fn(Arc<Handle>) -> Arc<dyn Source>;

/// The same for sinks.
type AsSink<Handle> = fn(Arc<Handle>) -> Arc<dyn Sink>;

impl<C: Connector> Entry<C> {
    /// A connector without roles yet.
    pub fn of(connector: C) -> Self {
        Entry {
            connector,
            source: None,
            sink: None,
        }
    }

    /// The handle can be tested, discovered and read.
    #[must_use]
    pub fn with_source(mut self) -> Self
    where
        C::Handle: Source,
    {
        self.source = Some(|handle| handle);
        self
    }

    /// Rows can be written to the handle.
    #[must_use]
    pub fn with_sink(mut self) -> Self
    where
        C::Handle: Sink,
    {
        self.sink = Some(|handle| handle);
        self
    }

    /// Erases the types, for the registry.
    pub fn build(self) -> Arc<dyn AnyConnector> {
        Arc::new(Erased::new(self))
    }
}

/// Every connector of this build, by kind.
#[derive(Clone, Default)]
pub struct Registry {
    by_kind: BTreeMap<&'static str, Arc<dyn AnyConnector>>,
}

impl Registry {
    /// A registry of these connectors.
    pub fn new(connectors: impl IntoIterator<Item = Arc<dyn AnyConnector>>) -> Self {
        let by_kind = connectors
            .into_iter()
            .map(|c| (c.descriptor().kind, c))
            .collect();
        Registry { by_kind }
    }

    /// The connector of `kind`; the error names the nearest one.
    pub fn get(&self, kind: &str) -> Result<&Arc<dyn AnyConnector>> {
        self.by_kind.get(kind).ok_or_else(|| {
            let known: Vec<&str> = self.by_kind.keys().copied().collect();
            let message = match nearest(kind, &known) {
                Some(near) => format!("no connector `{kind}`; did you mean `{near}`?"),
                None => format!("no connector `{kind}`"),
            };
            Error::new(Kind::NotFound, message)
                .code("unknown_connector")
                .hint("GET /v1/connectors lists what this build has")
        })
    }

    /// All of them, by kind.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn AnyConnector>> {
        self.by_kind.values()
    }
}
