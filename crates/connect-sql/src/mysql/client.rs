//! Connecting: dial, greeting, TLS and login as separate steps, and the session
//! that comes of it.
//!
//! Nothing runs in the background: reading stops when nobody reads, and dropping a
//! session closes its socket. That alone does not stop a query of the server's,
//! which is killed over a connection of its own.

use std::net::SocketAddr;
use std::time::Duration;

use weir_core::{Context, Dialed, Error, Result, SourceFault};
use weir_net::{TlsClient, TlsMode};

use super::bound::{self, Bound};
use super::config::{MySqlConfig, Target};
use super::failure;
use super::login::{self, Cover, Greeting};
use super::types::ColumnDef;
use super::wire::{LONG, Reader, SHORT, Wire};

/// How long killing a query may take before the connection is just closed.
const KILL_LIMIT: Duration = Duration::from_secs(2);

/// Columns of an answer at most, as servers have it.
const MOST_COLUMNS: u64 = 4096;

const COM_QUERY: u8 = 0x03;
const COM_PREPARE: u8 = 0x16;
const COM_EXECUTE: u8 = 0x17;
const COM_CLOSE: u8 = 0x19;
const COM_RESET: u8 = 0x1f;

/// The way to one server: where, as whom, how encrypted.
pub struct Way {
    /// Where and as whom.
    pub target: Target,
    tls: TlsClient,
}

/// A connection that has been greeted.
pub struct Greeted {
    wire: Wire,
    /// What the server said.
    pub greeting: Greeting,
    /// How it is protected.
    pub cover: Cover,
    addresses: Vec<SocketAddr>,
    is_sending: bool,
}

impl Way {
    /// Reads a config that was checked.
    pub fn new(config: &MySqlConfig) -> Result<Self> {
        let target = config.target()?;
        let tls =
            TlsClient::new(&target.tls, &target.endpoint.host).map_err(|e| e.under("/tls"))?;
        Ok(Way { target, tls })
    }

    /// Connects and logs in. `is_sending` asks for the right to send rows.
    pub async fn connect(&self, ctx: &Context, is_sending: bool) -> Result<Session> {
        let work = async {
            let endpoint = &self.target.endpoint;
            let addresses = ctx.dialer.resolve(endpoint).await?;
            let stream = ctx.dialer.connect(endpoint, &addresses).await?;
            let greeted = self.greeted(stream, addresses, is_sending).await?;
            self.log_in(greeted).await
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
                .hint("check that host and port lead to a MySQL or MariaDB server, or raise connect_timeout_seconds"))
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

    /// Hears the greeting, and shakes hands for TLS as the mode says. `is_sending`
    /// asks for the right to send rows.
    pub async fn greeted(
        &self,
        stream: Box<dyn Dialed>,
        addresses: Vec<SocketAddr>,
        is_sending: bool,
    ) -> Result<Greeted> {
        let mut wire = Wire::new(stream, self.host());
        let greeting = Greeting::read(&mut wire).await?;
        let mode = self.tls.mode();
        let is_encrypted = match mode {
            TlsMode::Disable => false,
            TlsMode::Prefer => greeting.offers_tls(),
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull if greeting.offers_tls() => {
                true
            }
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => {
                let message = format!(
                    "{} does not offer TLS, which tls.mode asks for",
                    self.host()
                );
                return Err(Error::source(SourceFault::Unavailable, message)
                    .code("tls")
                    .hint("turn on TLS in the server, or set tls.mode to disable if the network is trusted"));
            }
        };
        if is_encrypted {
            greeting
                .ask_for_tls(&mut wire, &self.target, is_sending)
                .await?;
            wire = wire.secured(&self.tls).await?;
        }
        let cover = Cover {
            is_encrypted,
            is_verified: is_encrypted && mode >= TlsMode::VerifyCa,
            is_waived: self.target.tls.mode == Some(TlsMode::Disable),
        };
        Ok(Greeted {
            wire,
            greeting,
            cover,
            addresses,
            is_sending,
        })
    }

    /// Logs in.
    pub async fn log_in(&self, greeted: Greeted) -> Result<Session> {
        let Greeted {
            mut wire,
            greeting,
            cover,
            addresses,
            is_sending,
        } = greeted;
        login::log_in(&mut wire, &greeting, &self.target, cover, is_sending).await?;
        Ok(Session {
            wire,
            greeting,
            addresses,
        })
    }

    /// Ends `session` in the middle of its work: kills its query over a connection
    /// of its own, then closes. The session is never used again.
    pub async fn abandon(&self, session: Session, ctx: &Context) {
        let number = session.greeting.session;
        let kill = async {
            let endpoint = &self.target.endpoint;
            let stream = ctx.dialer.connect(endpoint, &session.addresses).await?;
            let greeted = self.greeted(stream, Vec::new(), false).await?;
            let mut other = self.log_in(greeted).await?;
            other.run(format!("KILL QUERY {number}").as_bytes()).await
        };
        match tokio::time::timeout(KILL_LIMIT, kill).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, "a query could not be killed; its connection is closed")
            }
            Err(_) => tracing::debug!("killing a query took too long; its connection is closed"),
        }
        drop(session);
    }
}

/// What a statement did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// Rows changed, as the server counts them.
    pub rows: u64,
    /// Values that were changed to fit.
    pub warnings: u16,
}

/// A prepared statement.
#[derive(Debug, Clone)]
pub struct Statement {
    id: u32,
    /// How many values it takes.
    pub params: usize,
    /// What it gives.
    pub columns: Vec<ColumnDef>,
}

/// A row of an answer to one of our own queries, as text.
pub type Row = Vec<Option<String>>;

/// One connection that is logged in.
pub struct Session {
    /// Its packets.
    pub wire: Wire,
    /// What the server said first.
    pub greeting: Greeting,
    addresses: Vec<SocketAddr>,
}

impl Session {
    /// Runs one statement that gives no rows.
    pub async fn run(&mut self, sql: &[u8]) -> Result<Done> {
        self.wire.set_limit(SHORT);
        self.wire.command(COM_QUERY, sql).await?;
        self.done().await
    }

    async fn done(&mut self) -> Result<Done> {
        done(self.wire.read().await?)
    }

    /// Makes the session as new: no transaction, no temporary table, no setting.
    pub async fn reset(&mut self) -> Result<()> {
        self.wire.set_limit(SHORT);
        self.wire.command(COM_RESET, &[]).await?;
        self.done().await.map(drop)
    }

    /// Prepares a statement. The server proves that it is exactly one.
    pub async fn prepare(&mut self, sql: &str) -> Result<Statement> {
        self.wire.set_limit(SHORT);
        self.wire.command(COM_PREPARE, sql.as_bytes()).await?;
        let packet = self.wire.read().await?;
        let mut reader = match packet.split_first() {
            Some((0, rest)) => Reader(rest),
            Some((0xff, said)) => return Err(failure::of_server(said)),
            Some((0xfb, _)) => return Err(failure::asks_for_a_file()),
            _ => return Err(failure::protocol("an unknown answer")),
        };
        let id = reader.u32()?;
        let (columns, params) = (reader.u16()?, reader.u16()?);
        if u64::from(columns) > MOST_COLUMNS {
            return Err(failure::protocol("more columns than there can be"));
        }
        if params > 0 {
            for _ in 0..params {
                self.wire.read().await?;
            }
            end_of_list(self.wire.read().await?)?;
        }
        let columns = self.columns(usize::from(columns)).await?;
        Ok(Statement {
            id,
            params: usize::from(params),
            columns,
        })
    }

    /// Forgets a prepared statement.
    pub async fn close(&mut self, statement: &Statement) -> Result<()> {
        self.wire
            .command(COM_CLOSE, &statement.id.to_le_bytes())
            .await
    }

    async fn columns(&mut self, count: usize) -> Result<Vec<ColumnDef>> {
        let mut columns = Vec::with_capacity(count.min(64));
        if count == 0 {
            return Ok(columns);
        }
        let is_extended = self.greeting.has_extended_metadata();
        for _ in 0..count {
            columns.push(ColumnDef::parse(self.wire.read().await?, is_extended)?);
        }
        end_of_list(self.wire.read().await?)?;
        Ok(columns)
    }

    /// Runs a prepared statement that gives rows; they follow as packets. Gives
    /// their columns, which may differ from what preparing said.
    pub async fn execute(
        &mut self,
        statement: &Statement,
        params: &[Bound],
    ) -> Result<Vec<ColumnDef>> {
        match self.start(statement, params).await? {
            Some(columns) => Ok(columns),
            None => Err(failure::protocol("no rows for a query")),
        }
    }

    async fn send(&mut self, statement: &Statement, params: &[Bound]) -> Result<()> {
        self.wire.set_limit(SHORT);
        let mut content = statement.id.to_le_bytes().to_vec();
        // No cursor, and once.
        content.extend_from_slice(&[0, 1, 0, 0, 0]);
        bound::put(params, &mut content);
        self.wire.command(COM_EXECUTE, &content).await
    }

    async fn start(
        &mut self,
        statement: &Statement,
        params: &[Bound],
    ) -> Result<Option<Vec<ColumnDef>>> {
        self.send(statement, params).await?;
        let packet = self.wire.read().await?;
        let count = match packet.first() {
            Some(0) => return Ok(None),
            Some(0xff) => return Err(failure::of_server(&packet[1..])),
            Some(0xfb) => return Err(failure::asks_for_a_file()),
            _ => Reader(packet).length()?,
        };
        if count > MOST_COLUMNS {
            return Err(failure::protocol("more columns than there can be"));
        }
        let columns = self.columns(count as usize).await?;
        self.wire.set_limit(LONG);
        Ok(Some(columns))
    }

    /// Runs a statement of ours to its end; for small answers.
    pub async fn rows(&mut self, sql: &str, params: &[Bound]) -> Result<Vec<Row>> {
        let statement = self.prepare(sql).await?;
        let columns = self.execute(&statement, params).await?;
        let mut rows = Vec::new();
        while let Some(fields) = row(self.wire.read().await?)? {
            rows.push(bound::texts(fields, &columns)?);
        }
        self.close(&statement).await?;
        Ok(rows)
    }

    /// Starts `LOAD DATA LOCAL`: the server must ask for exactly what the statement
    /// named. Rows follow with [`Session::feed`].
    pub async fn load(&mut self, sql: &str, name: &str) -> Result<()> {
        self.wire.set_limit(SHORT);
        self.wire.command(COM_QUERY, sql.as_bytes()).await?;
        let packet = self.wire.read().await?;
        match packet.split_first() {
            Some((0xfb, asked)) if asked == name.as_bytes() => Ok(()),
            Some((0xfb, _)) => Err(failure::asks_for_a_file()),
            Some((0xff, said)) => Err(failure::of_server(said)),
            _ => Err(failure::protocol("an unknown answer")),
        }
    }

    /// Sends a piece of what is loaded; none ends it.
    pub async fn feed(&mut self, piece: &[u8]) -> Result<()> {
        // A piece of the longest length would begin another packet.
        for part in piece.chunks(64 << 10) {
            self.wire.send(part).await?;
        }
        if piece.is_empty() {
            self.wire.send(&[]).await?;
        }
        Ok(())
    }

    /// Ends what is loaded.
    pub async fn loaded(&mut self) -> Result<Done> {
        self.feed(&[]).await?;
        self.done().await
    }
}

fn done(packet: &[u8]) -> Result<Done> {
    match packet.split_first() {
        Some((0, rest)) => {
            let mut reader = Reader(rest);
            let rows = reader.length()?;
            reader.length()?;
            reader.u16()?;
            Ok(Done {
                rows,
                warnings: reader.u16()?,
            })
        }
        Some((0xff, said)) => Err(failure::of_server(said)),
        Some((0xfb, _)) => Err(failure::asks_for_a_file()),
        _ => Err(failure::protocol("rows where there should be none")),
    }
}

fn end_of_list(packet: &[u8]) -> Result<()> {
    match packet.first() {
        Some(0xfe) if packet.len() < 9 => Ok(()),
        Some(0xff) => Err(failure::of_server(&packet[1..])),
        _ => Err(failure::protocol("columns without end")),
    }
}

/// The fields of a row; none at the end of the rows.
#[inline]
pub fn row(packet: &[u8]) -> Result<Option<&[u8]>> {
    match packet.split_first() {
        Some((0, fields)) => Ok(Some(fields)),
        Some((0xfe, _)) if packet.len() < 9 => Ok(None),
        Some((0xff, said)) => Err(failure::of_server(said)),
        Some((0xfb, _)) => Err(failure::asks_for_a_file()),
        _ => Err(failure::protocol("something that is no row")),
    }
}
