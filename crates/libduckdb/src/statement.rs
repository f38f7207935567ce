//! Prepared statements, and their answers as Arrow.

use std::ffi::CString;
use std::ptr::null_mut;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch, StructArray};
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi};

use crate::database::{Connected, Connection};
use crate::library::{Error, Result, c_text, take_error, text};
use crate::logical::{Logical, columns};
use crate::raw::{Handle, RawResult};

/// `DUCKDB_STATEMENT_TYPE_SELECT`
const SELECT: i32 = 1;

/// A value for a parameter.
#[derive(Clone, PartialEq)]
pub enum Bind {
    /// A missing value.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Double(f64),
    /// Text.
    Text(String),
}

/// It shows nothing of itself.
impl std::fmt::Debug for Bind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// A prepared statement.
pub struct Prepared {
    connected: Arc<Connected>,
    handle: Handle,
}

// SAFETY: any thread may use and free it, one at a time.
unsafe impl Send for Prepared {}

impl Drop for Prepared {
    fn drop(&mut self) {
        // SAFETY: ours, freed once, before its connection.
        unsafe { (self.connected.api().destroy_prepare)(&raw mut self.handle) };
    }
}

impl Connection {
    /// Prepares exactly one statement.
    pub fn prepare(&mut self, sql: &str) -> Result<Prepared> {
        let sql = c_text(sql)?;
        let mut prepared = Prepared {
            connected: Arc::clone(&self.0),
            handle: null_mut(),
        };
        let api = Arc::clone(self.0.api());
        // SAFETY: the handle is freed by `prepared`, also after a failure, which
        // the header asks for.
        unsafe {
            let state = (api.prepare)(self.0.handle(), sql.as_ptr(), &raw mut prepared.handle);
            if state != 0 {
                return Err(Error {
                    message: text((api.prepare_error)(prepared.handle)),
                });
            }
        }
        Ok(prepared)
    }

    /// Prepares, binds and runs to the end; for small answers.
    pub fn rows(&mut self, sql: &str, values: &[Bind]) -> Result<Vec<RecordBatch>> {
        let mut prepared = self.prepare(sql)?;
        prepared.bind(values)?;
        let mut chunks = prepared.execute(false)?;
        let mut batches = Vec::new();
        while let Some(batch) = chunks.next_batch()? {
            batches.push(batch);
        }
        Ok(batches)
    }
}

impl Prepared {
    /// Whether it is one that gives rows and changes nothing, as the library sees it.
    pub fn is_select(&self) -> bool {
        // SAFETY: the handle is valid.
        unsafe { (self.connected.api().statement_type)(self.handle) == SELECT }
    }

    /// How many parameters it has.
    pub fn parameters(&self) -> usize {
        // SAFETY: the handle is valid.
        unsafe { (self.connected.api().parameters)(self.handle) as usize }
    }

    /// Names and types of the columns of its answer. Not to be relied on where it
    /// has parameters: their types may not be known before values are bound.
    pub fn columns(&self) -> Vec<(String, Logical)> {
        let api = self.connected.api();
        // SAFETY: the indices are below the count, and types are the caller's.
        unsafe {
            let count = (api.prepared_columns)(self.handle);
            columns(
                api,
                count,
                |index| (api.prepared_name)(self.handle, index),
                |index| (api.prepared_type)(self.handle, index),
            )
        }
    }

    /// Binds one value to each parameter, in their order.
    pub fn bind(&mut self, values: &[Bind]) -> Result<()> {
        let api = self.connected.api();
        for (index, value) in values.iter().enumerate() {
            let place = index as u64 + 1;
            // SAFETY: the handle is valid, and the library copies text.
            let state = unsafe {
                match value {
                    Bind::Null => (api.bind_null)(self.handle, place),
                    Bind::Bool(value) => (api.bind_boolean)(self.handle, place, *value),
                    Bind::Int(value) => (api.bind_int64)(self.handle, place, *value),
                    Bind::Double(value) => (api.bind_double)(self.handle, place, *value),
                    Bind::Text(value) => {
                        let (start, length) = (value.as_ptr().cast(), value.len() as u64);
                        (api.bind_text)(self.handle, place, start, length)
                    }
                }
            };
            if state != 0 {
                return Err(Error::new(format!(
                    "Invalid Input Error: parameter {place} takes no such value"
                )));
            }
        }
        Ok(())
    }

    /// Runs it. With `streaming` its rows are made while they are taken; one such
    /// answer is open on a connection at a time.
    pub fn execute(self, streaming: bool) -> Result<Chunks> {
        let api = Arc::clone(self.connected.api());
        let execute = if streaming {
            api.execute_streaming
        } else {
            api.execute
        };
        let mut chunks = Chunks {
            prepared: self,
            result: RawResult::EMPTY,
            schema: None,
            options: null_mut(),
        };
        // SAFETY: the result is freed by `chunks`, also after a failure.
        unsafe {
            let state = (execute)(chunks.prepared.handle, &raw mut chunks.result);
            if state != 0 {
                return Err(chunks.failure());
            }
            chunks.options = (api.result_options)(&raw mut chunks.result);
        }
        chunks.schema = Some(chunks.arrow_schema()?);
        Ok(chunks)
    }
}

/// The rows of an answer, in chunks of at most [`crate::CHUNK_ROWS`].
pub struct Chunks {
    prepared: Prepared,
    result: RawResult,
    schema: Option<FFI_ArrowSchema>,
    options: Handle,
}

// SAFETY: any thread may use and free it, one at a time.
unsafe impl Send for Chunks {}

impl Drop for Chunks {
    fn drop(&mut self) {
        let api = self.prepared.connected.api();
        // SAFETY: both are ours and freed once; null is allowed.
        unsafe {
            (api.destroy_options)(&raw mut self.options);
            (api.destroy_result)(&raw mut self.result);
        }
    }
}

impl Chunks {
    fn failure(&mut self) -> Error {
        // SAFETY: the result was given by a call; its text is copied.
        let message = unsafe {
            text((self.prepared.connected.api().result_error)(
                &raw mut self.result,
            ))
        };
        Error { message }
    }

    /// Names and types of the columns, as the values that were bound settle them.
    pub fn columns(&mut self) -> Vec<(String, Logical)> {
        let api = self.prepared.connected.api();
        let result = &raw mut self.result;
        // SAFETY: the indices are below the count, and types are the caller's.
        unsafe {
            columns(
                api,
                (api.column_count)(result),
                |index| (api.column_name)(result, index),
                |index| (api.column_logical_type)(result, index),
            )
        }
    }

    /// How many rows a statement that writes has changed.
    pub fn changed(&mut self) -> u64 {
        // SAFETY: the result is valid.
        unsafe { (self.prepared.connected.api().rows_changed)(&raw mut self.result) }
    }

    fn arrow_schema(&mut self) -> Result<FFI_ArrowSchema> {
        let api = self.prepared.connected.api();
        let result = &raw mut self.result;
        let mut schema = FFI_ArrowSchema::empty();
        // SAFETY: names and types live until the call returns, and the types are
        // freed after it. The schema is filled whole, or the call fails.
        unsafe {
            let count = (api.column_count)(result);
            let names: Vec<CString> = (0..count)
                .map(|index| {
                    CString::new(text((api.column_name)(result, index))).unwrap_or_default()
                })
                .collect();
            let pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
            let mut types: Vec<Handle> = (0..count)
                .map(|index| (api.column_logical_type)(result, index))
                .collect();
            let error = (api.to_arrow_schema)(
                self.options,
                types.as_mut_ptr(),
                pointers.as_ptr(),
                count,
                &raw mut schema,
            );
            for mut handle in types {
                (api.destroy_type)(&raw mut handle);
            }
            take_error(api, error)?;
        }
        Ok(schema)
    }

    /// The next rows; none at the end. Everything in them was checked, so that no
    /// file can bring text that is none.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let api = Arc::clone(self.prepared.connected.api());
        let mut array = FFI_ArrowArray::empty();
        // SAFETY: the chunk is ours and freed here; the array gets its own hold of
        // what it needs, and is freed by Arrow.
        unsafe {
            let mut chunk = (api.fetch_chunk)(self.result);
            if chunk.is_null() {
                let failure = self.failure();
                return if failure.message.is_empty() {
                    Ok(None)
                } else {
                    Err(failure)
                };
            }
            if (api.chunk_size)(chunk) == 0 {
                (api.destroy_chunk)(&raw mut chunk);
                return Ok(None);
            }
            let error = (api.chunk_to_arrow)(self.options, chunk, &raw mut array);
            (api.destroy_chunk)(&raw mut chunk);
            take_error(&api, error)?;
        }
        let Some(schema) = &self.schema else {
            return Err(Error::new("no schema"));
        };
        // SAFETY: array and schema were made for each other by one library that
        // keeps to the Arrow C data interface; the content is validated below.
        let data = unsafe { from_ffi(array, schema) };
        let checked = data.and_then(|data| data.validate_full().map(|()| data));
        let data = checked.map_err(|error| {
            Error::new(format!(
                "Data Corruption Error: not valid as Arrow: {error}"
            ))
        })?;
        let rows = StructArray::from(data);
        if rows.null_count() > 0 {
            return Err(Error::new("Data Corruption Error: a row that is null"));
        }
        Ok(Some(RecordBatch::from(rows)))
    }
}
