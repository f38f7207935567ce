//! An open database file, and its connections.

use std::ptr::null_mut;
use std::sync::{Arc, Weak};

use crate::library::{Error, Library, Result, c_text, take_text, text};
use crate::raw::{Api, Handle, RawResult};

/// An open database. It is closed when this and all its connections are gone.
#[derive(Clone)]
pub struct Database(Arc<Open>);

struct Open {
    library: Library,
    handle: Handle,
}

// SAFETY: the library takes calls for a database from any thread; the handle is
// freed once, by the last owner.
unsafe impl Send for Open {}
// SAFETY: as above: `duckdb_connect` may be called by several threads at once.
unsafe impl Sync for Open {}

impl Drop for Open {
    fn drop(&mut self) {
        // SAFETY: the handle is ours, and no connection to it is left: each of
        // them holds this.
        unsafe { (self.library.api.close)(&raw mut self.handle) };
    }
}

impl Database {
    /// Opens the file at `path` with these settings, in their order.
    pub fn open(library: &Library, path: &str, settings: &[(&str, String)]) -> Result<Self> {
        let path = c_text(path)?;
        let api = &library.api;
        let mut config: Handle = null_mut();
        let mut handle: Handle = null_mut();
        let mut said = null_mut();
        // SAFETY: all texts live until the calls return; `config` is freed on every
        // way out, and `said` is ours.
        unsafe {
            if (api.create_config)(&raw mut config) != 0 {
                return Err(Error::new("no memory for the settings"));
            }
            let mut outcome = Ok(());
            for (name, value) in settings {
                let (c_name, value) = (c_text(name)?, c_text(value)?);
                if (api.set_config)(config, c_name.as_ptr(), value.as_ptr()) != 0 {
                    outcome = Err(Error::new(format!("Settings Error: {name} is not taken")));
                    break;
                }
            }
            if outcome.is_ok()
                && (api.open_ext)(path.as_ptr(), &raw mut handle, config, &raw mut said) != 0
            {
                let message = take_text(api, said).unwrap_or_default();
                outcome = Err(Error { message });
            }
            (api.destroy_config)(&raw mut config);
            outcome?;
        }
        Ok(Database(Arc::new(Open {
            library: library.clone(),
            handle,
        })))
    }

    /// A connection to it.
    pub fn connect(&self) -> Result<Connection> {
        let mut handle: Handle = null_mut();
        // SAFETY: the database is open for as long as `self` lives.
        let state = unsafe { (self.0.library.api.connect)(self.0.handle, &raw mut handle) };
        if state != 0 {
            return Err(Error::new("Connection Error: no connection could be made"));
        }
        Ok(Connection(Arc::new(Connected {
            database: self.clone(),
            handle,
        })))
    }
}

/// A connection. One thread uses it at a time; only interrupting comes from
/// others.
pub struct Connection(pub(crate) Arc<Connected>);

/// What a connection and everything made from it share.
pub(crate) struct Connected {
    database: Database,
    handle: Handle,
}

// SAFETY: a connection may be used by any thread, and freed by any.
unsafe impl Send for Connected {}
// SAFETY: the library takes a lock of the connection in every call. What this
// crate calls on it from another thread is `duckdb_interrupt`, made for that.
unsafe impl Sync for Connected {}

impl Connected {
    pub(crate) fn api(&self) -> &Arc<Api> {
        &self.database.0.library.api
    }

    pub(crate) fn handle(&self) -> Handle {
        self.handle
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        // SAFETY: ours, and everything made from it holds this. What is open of a
        // transaction is rolled back by the library.
        unsafe { (self.database.0.library.api.disconnect)(&raw mut self.handle) };
    }
}

impl Connection {
    /// Runs statements that return nothing; gives how many rows the last changed.
    pub fn run(&mut self, sql: &str) -> Result<u64> {
        let sql = c_text(sql)?;
        let api = self.0.api();
        let mut result = RawResult::EMPTY;
        // SAFETY: the result is freed here, whatever came of the call.
        unsafe {
            let state = (api.query)(self.0.handle, sql.as_ptr(), &raw mut result);
            let outcome = match state {
                0 => Ok((api.rows_changed)(&raw mut result)),
                _ => Err(Error {
                    message: text((api.result_error)(&raw mut result)),
                }),
            };
            (api.destroy_result)(&raw mut result);
            outcome
        }
    }

    /// A handle that stops what the connection is doing.
    pub fn interrupt(&self) -> Interrupt {
        Interrupt(Arc::downgrade(&self.0))
    }
}

/// Stops what a connection is doing, from any thread.
#[derive(Clone)]
pub struct Interrupt(Weak<Connected>);

impl Interrupt {
    /// Stops the statement that runs now. One that begins afterwards is not
    /// stopped. False when the connection is gone.
    pub fn stop(&self) -> bool {
        let Some(connected) = self.0.upgrade() else {
            return false;
        };
        // SAFETY: the connection lives for as long as `connected`.
        unsafe { (connected.api().interrupt)(connected.handle) };
        true
    }
}
