//! Connecting: dial, TLS and login as separate steps, and the session that
//! comes of it.
//!
//! A session drives its own connection: nothing runs in the background, so
//! reading stops when nobody reads, and dropping a session closes its socket.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::SinkExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{
    Client, Connection, CopyInSink, CopyOutStream, NoTls, Row, RowStream, Statement,
};
use weir_core::{Context, Dialed, Error, Result, SourceFault};
use weir_net::{TlsClient, TlsMode};

use super::bound::Bound;
use super::config::{PostgresConfig, Target};
use super::failure;
use super::types::TypeFacts;

/// How long a cancel request may take before the connection is just closed.
const CANCEL_LIMIT: Duration = Duration::from_millis(700);

/// Settings of every session, so that no default of a role or database changes
/// what is read. They come with the startup message, which outranks both.
const SESSION: [(&str, &str); 17] = [
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("bytea_output", "hex"),
    ("extra_float_digits", "3"),
    ("xmlbinary", "base64"),
    ("xmloption", "content"),
    ("standard_conforming_strings", "on"),
    ("transform_null_equals", "off"),
    ("array_nulls", "on"),
    ("quote_all_identifiers", "off"),
    ("gin_fuzzy_search_limit", "0"),
    ("client_min_messages", "error"),
    ("default_transaction_read_only", "on"),
    ("statement_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("check_function_bodies", "off"),
];

/// Where rows are copied in.
pub type CopyIn = Pin<Box<CopyInSink<Bytes>>>;

type Driver = Connection<Box<dyn Dialed>, NoTlsStream>;

/// The way to one database: where, as whom, how encrypted.
pub struct Way {
    /// Where and as whom.
    pub target: Target,
    tls: TlsClient,
    options: String,
}

impl Way {
    /// Reads a config that was checked.
    pub fn new(config: &PostgresConfig) -> Result<Self> {
        let target = config.target()?;
        let tls =
            TlsClient::new(&target.tls, &target.endpoint.host).map_err(|e| e.under("/tls"))?;
        Ok(Way {
            tls,
            options: startup_options(&config.schema),
            target,
        })
    }

    /// Connects and logs in.
    pub async fn connect(&self, ctx: &Context) -> Result<Session> {
        let work = async {
            let addresses = ctx.dialer.resolve(&self.target.endpoint).await?;
            let stream = ctx
                .dialer
                .connect(&self.target.endpoint, &addresses)
                .await?;
            let (stream, encrypted) = self.secure(stream).await?;
            self.log_in(stream, encrypted, addresses).await
        };
        self.in_time(work).await
    }

    /// Bounds connecting and logging in.
    pub async fn in_time<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let limit = self.target.connect_timeout;
        tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
            let message = format!("{} did not finish the login within {} s", self.host(), limit.as_secs());
            Err(Error::source(SourceFault::Unavailable, message)
                .code("connect_timeout")
                .hint("check that host and port lead to a PostgreSQL server, or raise connect_timeout_seconds"))
        })
    }

    /// The mode of TLS that holds for the host.
    pub fn tls_mode(&self) -> TlsMode {
        self.tls.mode()
    }

    /// Host, for messages.
    pub fn host(&self) -> &str {
        &self.target.endpoint.host
    }

    /// Asks for TLS and shakes hands, as the mode says. Tells whether the
    /// stream is encrypted now.
    pub async fn secure(&self, mut stream: Box<dyn Dialed>) -> Result<(Box<dyn Dialed>, bool)> {
        let mode = self.tls.mode();
        if mode == TlsMode::Disable {
            return Ok((stream, false));
        }
        // The request for TLS: length 8, then the code 80877103.
        const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
        let broken = |error: std::io::Error| weir_net::tls::io_error(self.host(), &error);
        stream.write_all(&SSL_REQUEST).await.map_err(broken)?;
        stream.flush().await.map_err(broken)?;
        // One byte and no more: what follows must come through TLS.
        match stream.read_u8().await.map_err(broken)? {
            b'S' => Ok((self.tls.connect(stream).await?, true)),
            b'N' if mode == TlsMode::Prefer => Ok((stream, false)),
            b'N' => Err(Error::source(
                SourceFault::Unavailable,
                format!(
                    "{} does not offer TLS, which tls.mode asks for",
                    self.host()
                ),
            )
            .code("tls")
            .hint(
                "turn on ssl in the server, or set tls.mode to disable if the network is trusted",
            )),
            _ => Err(Error::source(
                SourceFault::Unavailable,
                format!("{} did not answer like a PostgreSQL server", self.host()),
            )
            .code("not_postgres")
            .hint("check the port; PostgreSQL listens on 5432 by default")),
        }
    }

    /// Logs in over a stream that is ready for it.
    pub async fn log_in(
        &self,
        stream: Box<dyn Dialed>,
        encrypted: bool,
        addresses: Vec<SocketAddr>,
    ) -> Result<Session> {
        let target = &self.target;
        let mut config = tokio_postgres::Config::new();
        // TLS is done already, in this stream.
        config
            .ssl_mode(SslMode::Disable)
            .user(&target.user)
            .dbname(&target.database);
        config.application_name("weir").options(&self.options);
        if let Some(password) = &target.password {
            config.password(password.expose());
        }
        let opened = config.connect_raw(stream, NoTls).await;
        let (client, connection) = opened.map_err(|error| failure::of_login(error, target))?;
        Ok(Session {
            client,
            driver: Box::pin(connection),
            host: target.endpoint.host.clone(),
            encrypted,
            addresses,
            prepared: HashMap::new(),
            types: HashMap::new(),
        })
    }

    /// Ends `session` in the middle of its work: asks the server to cancel,
    /// over a connection of its own, then closes. The session is never used again.
    pub async fn abandon(&self, session: Session, ctx: &Context) {
        let (token, encrypted) = (session.client.cancel_token(), session.encrypted);
        let addresses = session.addresses.clone();
        let cancel = async move {
            let stream = ctx
                .dialer
                .connect(&self.target.endpoint, &addresses)
                .await?;
            let stream = if encrypted {
                self.secure(stream).await?.0
            } else {
                stream
            };
            let sent = token.cancel_query_raw(stream, NoTls).await;
            sent.map_err(|error| failure::of(error, self.host()))
        };
        match tokio::time::timeout(CANCEL_LIMIT, cancel).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, "a query could not be cancelled; its connection is closed")
            }
            Err(_) => tracing::debug!("cancelling a query took too long; its connection is closed"),
        }
        drop(session);
    }
}

/// The startup options: `-c name=value`, blanks and backslashes escaped.
fn startup_options(schema: &str) -> String {
    let search_path = weir_kit::Dialect::Standard.quote(schema);
    let mut options = String::new();
    for (name, value) in SESSION
        .into_iter()
        .chain([("search_path", search_path.as_str())])
    {
        options.push_str("-c ");
        options.push_str(name);
        options.push('=');
        for character in value.chars() {
            if character.is_ascii_whitespace() || character == '\\' {
                options.push('\\');
            }
            options.push(character);
        }
        options.push(' ');
    }
    options.truncate(options.trim_end().len());
    options
}

/// One connection that is logged in.
pub struct Session {
    client: Client,
    driver: Pin<Box<Driver>>,
    host: String,
    encrypted: bool,
    addresses: Vec<SocketAddr>,
    prepared: HashMap<&'static str, Statement>,
    /// Types that are not built in, by oid. Oids are not reused within the
    /// life of a connection.
    pub types: HashMap<u32, TypeFacts>,
}

impl Session {
    /// A value that the server reported, such as `server_version`.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.driver.parameter(name)
    }

    /// Runs statements that return nothing, in one round trip.
    pub async fn batch(&mut self, sql: &str) -> Result<()> {
        drive(
            self.driver.as_mut(),
            self.client.batch_execute(sql),
            &self.host,
        )
        .await
    }

    /// Prepares a statement; the server finds the types of its parameters
    /// where `types` does not say them.
    pub async fn prepare(&mut self, sql: &str, types: &[Type]) -> Result<Statement> {
        drive(
            self.driver.as_mut(),
            self.client.prepare_typed(sql, types),
            &self.host,
        )
        .await
    }

    /// Runs a statement of ours; it stays prepared.
    pub async fn rows(&mut self, sql: &'static str, params: &[Bound]) -> Result<Vec<Row>> {
        let statement = match self.prepared.get(sql) {
            Some(statement) => statement.clone(),
            None => {
                let statement = self.prepare(sql, &[]).await?;
                self.prepared.insert(sql, statement.clone());
                statement
            }
        };
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|p| p as _).collect();
        drive(
            self.driver.as_mut(),
            self.client.query(&statement, &params),
            &self.host,
        )
        .await
    }

    /// Runs a prepared statement to its end; for small answers.
    pub async fn all(&mut self, statement: &Statement, params: &[Bound]) -> Result<Vec<Row>> {
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|p| p as _).collect();
        drive(
            self.driver.as_mut(),
            self.client.query(statement, &params),
            &self.host,
        )
        .await
    }

    /// Starts a binary `COPY … TO STDOUT`.
    pub async fn copy_out(&mut self, sql: &str) -> Result<CopyOutStream> {
        drive(self.driver.as_mut(), self.client.copy_out(sql), &self.host).await
    }

    /// Runs one statement; gives how many rows it changed.
    pub async fn run(&mut self, sql: &str) -> Result<u64> {
        let work = self.client.execute(sql, &[]);
        drive(self.driver.as_mut(), work, &self.host).await
    }

    /// Starts a binary `COPY … FROM STDIN`.
    pub async fn copy_in(&mut self, sql: &str) -> Result<CopyIn> {
        let work = self.client.copy_in(sql);
        drive(self.driver.as_mut(), work, &self.host)
            .await
            .map(Box::pin)
    }

    /// Sends a piece of what is copied in.
    pub async fn feed(&mut self, sink: &mut CopyIn, piece: Bytes) -> Result<()> {
        drive(self.driver.as_mut(), sink.send(piece), &self.host).await
    }

    /// Ends what is copied in; gives how many rows the server took.
    pub async fn copied(&mut self, mut sink: CopyIn) -> Result<u64> {
        drive(self.driver.as_mut(), sink.as_mut().finish(), &self.host).await
    }

    /// Starts a prepared statement whose rows are streamed.
    pub async fn row_stream(
        &mut self,
        statement: &Statement,
        params: &[Bound],
    ) -> Result<RowStream> {
        drive(
            self.driver.as_mut(),
            self.client.query_raw(statement, params),
            &self.host,
        )
        .await
    }

    /// Moves the connection on. Ready when it has ended.
    pub fn poll_connection(&mut self, cx: &mut TaskContext<'_>) -> Poll<Error> {
        poll_driver(self.driver.as_mut(), cx, &self.host)
    }
}

/// Runs `work` while moving the connection on that answers it.
async fn drive<T>(
    mut driver: Pin<&mut Driver>,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    host: &str,
) -> Result<T> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        if let Poll::Ready(outcome) = work.as_mut().poll(cx) {
            return Poll::Ready(outcome.map_err(|error| failure::of(error, host)));
        }
        let ended = poll_driver(driver.as_mut(), cx, host);
        // What the connection brought may be the answer, even when it has ended.
        match (work.as_mut().poll(cx), ended) {
            (Poll::Ready(Err(error)), Poll::Ready(cause)) if error.is_closed() => {
                Poll::Ready(Err(cause))
            }
            (Poll::Ready(outcome), _) => {
                Poll::Ready(outcome.map_err(|error| failure::of(error, host)))
            }
            (Poll::Pending, Poll::Ready(cause)) => Poll::Ready(Err(cause)),
            (Poll::Pending, Poll::Pending) => Poll::Pending,
        }
    })
    .await
}

fn poll_driver(mut driver: Pin<&mut Driver>, cx: &mut TaskContext<'_>, host: &str) -> Poll<Error> {
    loop {
        match driver.as_mut().poll_message(cx) {
            // Notices may quote data; nothing in them is for us.
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(Some(Err(error))) => return Poll::Ready(failure::of(error, host)),
            Poll::Ready(None) => return Poll::Ready(failure::closed(host)),
            Poll::Pending => return Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::startup_options;

    #[test]
    fn options_cannot_be_left_by_a_schema_name() {
        let options = startup_options(r#"my "odd\ schema -c x=y"#);
        let expected = r#"-c search_path="my\ ""odd\\\ schema\ -c\ x=y""#;
        assert!(options.ends_with(expected), "{options}");
    }
}
