//! The one erasure layer: typed connectors in, `dyn` out, and on the way every
//! call gets its span, deadline, cancellation and redaction of error text.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use futures::StreamExt;
use serde_json::Value;
use tracing::Instrument;

use crate::config::{self, FieldFacts};
use crate::connector::{Capability, Connector, Descriptor, Entry};
use crate::context::Context;
use crate::error::{Error, Result, SourceFault};
use crate::read::Read;
use crate::secret::MASK;
use crate::sink::{Rows, Sink, Write, Written};
use crate::source::{Discover, Page, Scan, Source, StreamInfo, StreamSchema, TestReport};
use crate::stream_id::StreamId;

/// A connector whose config type is hidden.
#[async_trait]
pub trait AnyConnector: Send + Sync {
    /// Name, texts, example.
    fn descriptor(&self) -> &Descriptor;
    /// What it can do, derived from its roles.
    fn capabilities(&self) -> &[Capability];
    /// JSON Schema of its config.
    fn config_schema(&self) -> &Value;
    /// Which fields are secret and which say where.
    fn facts(&self) -> &FieldFacts;
    /// Checks a whole config, secrets included; pointers are relative to it.
    fn check(&self, config: &Value) -> Result<()>;
    /// Opens a whole config, secrets included.
    async fn open(&self, config: Value, ctx: &Context) -> Result<OpenSource> {
        self.open_hiding(config, &[], ctx).await
    }
    /// Opens a whole config and keeps the texts at the paths of `hidden` out of
    /// errors, as it does for the connector's own secret fields: a credential may
    /// seal any field.
    async fn open_hiding(
        &self,
        config: Value,
        hidden: &[Vec<String>],
        ctx: &Context,
    ) -> Result<OpenSource>;
}

pub(crate) struct Erased<C: Connector> {
    entry: Entry<C>,
    descriptor: Descriptor,
    capabilities: Vec<Capability>,
    schema: Value,
    facts: FieldFacts,
}

impl<C: Connector> Erased<C> {
    pub(crate) fn new(entry: Entry<C>) -> Self {
        let schema = schemars::schema_for!(C::Config).to_value();
        let mut capabilities = Vec::new();
        if entry.source.is_some() {
            capabilities.extend([
                Capability::Test,
                Capability::Discover,
                Capability::Preview,
                Capability::Load,
            ]);
        }
        if entry.sink.is_some() {
            capabilities.push(Capability::Write);
        }
        Erased {
            descriptor: entry.connector.describe(),
            capabilities,
            facts: FieldFacts::of(&schema),
            schema,
            entry,
        }
    }

    fn parse(&self, config: &Value) -> Result<C::Config> {
        let scrub = Scrubber::of(config, &self.facts.secret);
        let parsed: C::Config = config::decode(config.clone()).map_err(|e| scrub.clean(e))?;
        self.entry
            .connector
            .validate(&parsed)
            .map_err(|e| scrub.clean(e))?;
        Ok(parsed)
    }
}

#[async_trait]
impl<C: Connector> AnyConnector for Erased<C> {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn capabilities(&self) -> &[Capability] {
        &self.capabilities
    }

    fn config_schema(&self) -> &Value {
        &self.schema
    }

    fn facts(&self) -> &FieldFacts {
        &self.facts
    }

    fn check(&self, config: &Value) -> Result<()> {
        self.parse(config).map(drop)
    }

    async fn open_hiding(
        &self,
        config: Value,
        hidden: &[Vec<String>],
        ctx: &Context,
    ) -> Result<OpenSource> {
        let scrub = Scrubber::of(&config, self.facts.secret.iter().chain(hidden));
        let parsed = self.parse(&config).map_err(|e| scrub.clean(e))?;
        let handle = ctx
            .bounded(self.entry.connector.open(parsed, ctx))
            .await
            .map_err(|e| scrub.clean(e))?;
        let handle = Arc::new(handle);
        Ok(OpenSource {
            kind: self.descriptor.kind,
            source: self
                .entry
                .source
                .map(|as_source| as_source(Arc::clone(&handle))),
            sink: self.entry.sink.map(|as_sink| as_sink(handle)),
            scrub: Arc::new(scrub),
        })
    }
}

/// Removes known secret values from texts.
struct Scrubber(Vec<zeroize::Zeroizing<String>>);

impl Scrubber {
    fn of<'a>(config: &Value, paths: impl IntoIterator<Item = &'a Vec<String>>) -> Self {
        let mut known = Vec::new();
        for path in paths {
            let Some(value) = config::get(config, path).and_then(Value::as_str) else {
                continue;
            };
            // One or two characters would blank out ordinary words.
            if value.len() > 2 {
                known.push(zeroize::Zeroizing::new(value.to_owned()));
            }
            // A URL may hide a password that a driver quotes on its own.
            if let Some(password) = url_password(value) {
                known.push(zeroize::Zeroizing::new(percent_decoded(password)));
                known.push(zeroize::Zeroizing::new(password.to_owned()));
            }
        }
        known.sort_by_key(|value| std::cmp::Reverse(value.len()));
        Scrubber(known)
    }

    fn clean(&self, error: Error) -> Error {
        error.scrubbed(|text| self.clean_text(text))
    }

    fn clean_text(&self, text: &str) -> Option<String> {
        let mut clean: Option<String> = None;
        for secret in &self.0 {
            let current = clean.as_deref().unwrap_or(text);
            if !secret.is_empty() && current.contains(secret.as_str()) {
                clean = Some(current.replace(secret.as_str(), MASK));
            }
        }
        clean
    }
}

fn url_password(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("://")?;
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let (userinfo, _) = authority.rsplit_once('@')?;
    let (_, password) = userinfo.split_once(':')?;
    (password.len() > 2).then_some(password)
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let hex = text
            .get(index + 1..index + 3)
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        match (bytes[index], hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                index += 3;
            }
            (byte, _) => {
                out.push(byte);
                index += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// What the rows of a batch take, without what lies around a slice.
pub fn memory_of(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(memory_of_array).sum()
}

/// What the values of an array take, without what lies around a slice.
pub fn memory_of_array(array: &ArrayRef) -> usize {
    let data = array.to_data();
    data.get_slice_memory_size()
        .unwrap_or_else(|_| array.get_array_memory_size())
}

/// An opened source. Every call is bounded by its context and comes back with
/// secrets scrubbed from error texts.
#[derive(Clone)]
pub struct OpenSource {
    kind: &'static str,
    source: Option<Arc<dyn Source>>,
    sink: Option<Arc<dyn Sink>>,
    scrub: Arc<Scrubber>,
}

impl OpenSource {
    /// The connector's kind.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// See [`Source::connections`].
    pub fn connections(&self) -> (usize, usize) {
        self.source
            .as_ref()
            .map_or((0, 0), |source| source.connections())
    }

    fn reader(&self, what: &str) -> Result<&Arc<dyn Source>> {
        self.source
            .as_ref()
            .ok_or_else(|| Error::unsupported(format!("{} sources cannot {what}", self.kind)))
    }

    async fn run<T>(
        &self,
        ctx: &Context,
        what: &'static str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let span = tracing::info_span!("source", kind = self.kind, call = what);
        ctx.bounded(work)
            .instrument(span)
            .await
            .map_err(|e| self.scrub.clean(e))
    }

    /// See [`Source::test`]. The report comes back also when a step failed.
    pub async fn test(&self, ctx: &Context) -> (TestReport, Result<()>) {
        let mut report = TestReport::default();
        let source = match self.reader("be tested") {
            Ok(source) => source,
            Err(error) => return (report, Err(error)),
        };
        let outcome = self.run(ctx, "test", source.test(ctx, &mut report)).await;
        for step in &mut report.steps {
            if let Some(clean) = step
                .detail
                .as_deref()
                .and_then(|d| self.scrub.clean_text(d))
            {
                step.detail = Some(clean);
            }
        }
        (report, outcome)
    }

    /// See [`Source::discover`].
    pub async fn discover(&self, ctx: &Context, ask: &Discover) -> Result<Page<StreamInfo>> {
        self.run(
            ctx,
            "discover",
            self.reader("be discovered")?.discover(ctx, ask),
        )
        .await
    }

    /// See [`Source::schema`].
    pub async fn schema(&self, ctx: &Context, stream: &StreamId) -> Result<StreamSchema> {
        self.run(
            ctx,
            "schema",
            self.reader("describe streams")?.schema(ctx, stream),
        )
        .await
    }

    /// See [`Source::count`].
    pub async fn count(&self, ctx: &Context, read: &Read) -> Result<Option<u64>> {
        self.run(ctx, "count", self.reader("be read")?.count(ctx, read))
            .await
    }

    /// See [`Source::scan`]. The stream ends with an error when the deadline
    /// passes or the call is cancelled.
    pub async fn scan(&self, ctx: &Context, read: &Read) -> Result<Scan> {
        let mut scan = self
            .run(ctx, "scan", self.reader("be read")?.scan(ctx, read))
            .await?;
        let scrub = Arc::clone(&self.scrub);
        let call = ctx.clone();
        let inner = scan.stream;
        let held = ctx.memory.hold();
        scan.stream = futures::stream::unfold(Some((inner, held)), move |state| {
            let call = call.clone();
            let scrub = Arc::clone(&scrub);
            async move {
                let (mut inner, mut held) = state?;
                let next = async {
                    // The batch before is gone: whoever keeps it holds it himself.
                    held.try_set(0)?;
                    let next = inner.next().await.transpose()?;
                    held.set(next.as_ref().map_or(0, memory_of)).await?;
                    Ok(next)
                };
                match call.bounded(next).await {
                    Ok(Some(batch)) => Some((Ok(batch), Some((inner, held)))),
                    Ok(None) => None,
                    Err(error) => Some((Err(scrub.clean(error)), None)),
                }
            }
        })
        .boxed();
        Ok(scan)
    }

    /// The sink, where the connector has one.
    fn writer(&self) -> Result<&Arc<dyn Sink>> {
        self.sink.as_ref().ok_or_else(|| {
            Error::unsupported(format!("{} sources cannot be written to", self.kind)).hint(
                "GET /v1/connectors says by `capabilities` which connectors can: those with `write`",
            )
        })
    }

    /// Whether rows can be written at all; the error says why not.
    pub fn check_writable(&self) -> Result<()> {
        self.writer().map(drop)
    }

    /// See [`Sink::write`]. Ends with an error when the deadline passes or the
    /// call is cancelled, but not between the begin of the commit and its outcome.
    pub async fn write(&self, ctx: &Context, write: &Write, rows: Rows) -> Result<Written> {
        let span = tracing::info_span!("source", kind = self.kind, call = "write");
        let work = self.writer()?.write(ctx, write, rows).instrument(span);
        tokio::pin!(work);
        let outcome = tokio::select! {
            biased;
            outcome = &mut work => outcome,
            ended = ctx.clone().ended() => {
                if write.commit.has_begun() {
                    let outcome = tokio::time::timeout(COMMIT_LIMIT, work).await;
                    outcome.unwrap_or_else(|_| Err(unknown_outcome()))
                } else {
                    Err(ended)
                }
            }
        };
        outcome.map_err(|e| self.scrub.clean(e))
    }
}

/// How long the outcome of a commit is waited for once the call has ended.
const COMMIT_LIMIT: Duration = Duration::from_secs(30);

/// A commit whose outcome nobody can tell.
pub fn unknown_outcome() -> Error {
    Error::source(
        SourceFault::Data,
        "the connection was lost while the rows were committed; whether they were written is not known",
    )
    .code("commit_unknown")
    .hint("look into the target before you send the rows again; replace, upsert and ignore may be repeated safely")
}
