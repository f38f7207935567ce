//! The one channel on which instances tell each other what changed.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use sqlx::postgres::{PgListener, PgPool};
use tokio::sync::mpsc;
use uuid::Uuid;
use weir_core::task::Task;
use weir_core::{Error, Result};

use crate::connection::{Store, bounded, pool};
use crate::failure::failed;

const CHANNEL: &str = "weir";
/// Messages that wait here for a slow reader; further ones wait in the server.
const WAITING: usize = 256;
/// A silent line is asked this often whether it still lives.
const SILENCE: Duration = Duration::from_secs(30);
const ANSWER: Duration = Duration::from_secs(10);

/// What instances tell each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Message {
    /// A source was changed or removed.
    SourceChanged {
        /// Which.
        id: Uuid,
    },
    /// A credential that sources attach was changed or removed.
    CredentialChanged {
        /// Which.
        id: Uuid,
    },
    /// An api key was changed or revoked.
    KeyChanged {
        /// Which.
        id: Uuid,
    },
    /// Somebody asked for a run to stop.
    CancelRun {
        /// Which.
        id: Uuid,
    },
    /// The line was opened, or opened again: what was told before may have been
    /// missed. Never sent by an instance.
    #[serde(skip)]
    Resync,
}

/// What is told, as a stream that ends when the store is closed.
#[derive(Debug)]
pub struct Messages {
    received: mpsc::Receiver<Message>,
    _line: Task<()>,
}

impl Stream for Messages {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.received.poll_recv(cx)
    }
}

impl Store {
    /// Tells every instance, this one too. Changes of sources are told by the
    /// store itself, when they are committed.
    pub async fn notify(&self, message: &Message) -> Result<()> {
        bounded(tell(&self.pool, message)).await
    }

    /// What instances tell, from now on. A line that breaks is opened again;
    /// each time it opens, the stream says [`Message::Resync`].
    pub fn listen(&self) -> Messages {
        let (send, received) = mpsc::channel(WAITING);
        // A connection of its own, so that listening takes none from requests.
        let own = pool(1).connect_lazy_with(self.options.clone());
        let line = Line {
            own,
            store: self.pool.clone(),
            send,
        };
        Messages {
            received,
            _line: self.compute.spawn(line.keep()),
        }
    }
}

/// Tells within the transaction of `executor`, so that it is heard when that commits.
pub(crate) async fn tell(executor: impl PgExecutor<'_>, message: &Message) -> Result<()> {
    let text = serde_json::to_string(message).map_err(Error::internal)?;
    sqlx::query("select pg_notify($1, $2)")
        .bind(CHANNEL)
        .bind(text)
        .execute(executor)
        .await
        .map(drop)
        .map_err(failed)
}

struct Line {
    own: PgPool,
    store: PgPool,
    send: mpsc::Sender<Message>,
}

impl Line {
    async fn keep(self) {
        let closed = self.store.close_event();
        tokio::pin!(closed);
        let mut pause = Duration::from_millis(100);
        loop {
            let broken = tokio::select! {
                () = &mut closed => return,
                () = self.send.closed() => return,
                broken = hear(&self.own, &self.send, &mut pause) => broken,
            };
            tracing::warn!("the line between instances broke: {broken}");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(10));
        }
    }
}

/// Listens until the line breaks; says why it did.
async fn hear(own: &PgPool, send: &mpsc::Sender<Message>, pause: &mut Duration) -> sqlx::Error {
    let opened = async {
        let mut listener = PgListener::connect_with(own).await?;
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok(listener)
    };
    let mut listener = match opened.await {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    *pause = Duration::from_millis(100);
    // Sending fails only when nobody reads, which ends the line from outside.
    let _ = send.send(Message::Resync).await;
    loop {
        match tokio::time::timeout(SILENCE, listener.try_recv()).await {
            Ok(Ok(Some(told))) => {
                // A newer instance may know messages that this one does not.
                if let Ok(message) = serde_json::from_str(told.payload()) {
                    let _ = send.send(message).await;
                }
            }
            Ok(Ok(None)) => return sqlx::Error::PoolClosed,
            Ok(Err(error)) => return error,
            Err(_) => {
                if let Err(error) = probe(&mut listener).await {
                    return error;
                }
            }
        }
    }
}

async fn probe(listener: &mut PgListener) -> sqlx::Result<()> {
    let asked = sqlx::query("select 1").execute(listener);
    tokio::time::timeout(ANSWER, asked)
        .await
        .unwrap_or(Err(sqlx::Error::PoolTimedOut))
        .map(drop)
}
