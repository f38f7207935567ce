//! Rows into a table, in bulk.

use std::ffi::c_void;
use std::ptr::{null, null_mut};
use std::sync::Arc;

use arrow::array::{Array, RecordBatch, StructArray};
use arrow::datatypes::Schema;
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema};

use crate::CHUNK_ROWS;
use crate::database::{Connected, Connection};
use crate::library::{Error, Result, c_text, take_error};
use crate::raw::Handle;

/// Appends batches of one schema to a table. Rows are in the table for sure after
/// [`Appender::finish`]; without it some may be missing.
pub struct Appender {
    connected: Arc<Connected>,
    handle: Handle,
    converted: Handle,
}

// SAFETY: any thread may use and free it, one at a time.
unsafe impl Send for Appender {}

impl Drop for Appender {
    fn drop(&mut self) {
        let api = self.connected.api();
        // SAFETY: both are ours and freed once; null is allowed.
        unsafe {
            (api.destroy_converted)(&raw mut self.converted);
            if !self.handle.is_null() {
                (api.appender_destroy)(&raw mut self.handle);
            }
        }
    }
}

impl Connection {
    /// An appender to `table`, in the first schema that has it. Its columns are
    /// those of `schema`, in their order.
    pub fn appender(&mut self, table: &str, schema: &Schema) -> Result<Appender> {
        let table = c_text(table)?;
        let mut ffi = FFI_ArrowSchema::try_from(schema).map_err(|e| Error::new(e.to_string()))?;
        let api = Arc::clone(self.0.api());
        let mut appender = Appender {
            connected: Arc::clone(&self.0),
            handle: null_mut(),
            converted: null_mut(),
        };
        // SAFETY: all texts live until the calls return; both handles are freed by
        // `appender`, also after a failure. The library only reads the schema.
        unsafe {
            let error =
                (api.schema_from_arrow)(self.0.handle(), &raw mut ffi, &raw mut appender.converted);
            take_error(&api, error)?;
            let state = (api.appender_create)(
                self.0.handle(),
                null(),
                null(),
                table.as_ptr(),
                &raw mut appender.handle,
            );
            appender.outcome(state)?;
        }
        Ok(appender)
    }
}

impl Appender {
    /// What the appender says of a call.
    fn outcome(&self, state: i32) -> Result<()> {
        if state == 0 {
            return Ok(());
        }
        if self.handle.is_null() {
            return Err(Error::new("Catalog Error: no appender could be made"));
        }
        let api = self.connected.api();
        // SAFETY: the error object is ours to free.
        unsafe { take_error(api, (api.appender_error)(self.handle))? };
        Err(Error::new("the rows were not taken"))
    }

    /// Appends rows. Their columns have the types of the schema.
    pub fn append(&mut self, batch: &RecordBatch) -> Result<()> {
        for from in (0..batch.num_rows()).step_by(CHUNK_ROWS) {
            self.append_chunk(&batch.slice(from, CHUNK_ROWS.min(batch.num_rows() - from)))?;
        }
        Ok(())
    }

    fn append_chunk(&mut self, rows: &RecordBatch) -> Result<()> {
        let owner = FFI_ArrowArray::new(&StructArray::from(rows.clone()).to_data());
        let mut lent = Lent::of(&owner);
        let api = Arc::clone(self.connected.api());
        let mut chunk: Handle = null_mut();
        // SAFETY: `owner` lives until the chunk, which may point into it, is freed;
        // the table has its own copy by then.
        unsafe {
            let error = (api.chunk_from_arrow)(
                self.connected.handle(),
                (&raw mut lent).cast(),
                self.converted,
                &raw mut chunk,
            );
            take_error(&api, error)?;
            let state = (api.appender_append)(self.handle, chunk);
            let outcome = self.outcome(state);
            (api.destroy_chunk)(&raw mut chunk);
            drop(owner);
            outcome
        }
    }

    /// Brings what is left into the table.
    pub fn finish(self) -> Result<()> {
        // SAFETY: the handle is valid; it is freed by the drop that follows.
        let state = unsafe { (self.connected.api().appender_close)(self.handle) };
        self.outcome(state)
    }
}

/// `ArrowArray` of the Arrow C data interface.
///
/// The library gives what it is handed to the first column of a chunk alone, so
/// the others could outlive it. It is lent instead: releasing it does nothing.
#[repr(C)]
struct Lent {
    length: i64,
    null_count: i64,
    offset: i64,
    buffers: i64,
    children: i64,
    buffer_list: *mut c_void,
    child_list: *mut c_void,
    dictionary: *mut c_void,
    release: Option<unsafe extern "C" fn(*mut Lent)>,
    private: *mut c_void,
}

impl Lent {
    /// What `owner` holds. It must not be used when the owner is gone.
    fn of(owner: &FFI_ArrowArray) -> Self {
        const { assert!(size_of::<Lent>() == size_of::<FFI_ArrowArray>()) };
        // SAFETY: both have the layout that the interface prescribes, and it is a
        // copy of plain fields; the copy's own `release` is put in below.
        let mut lent = unsafe { std::ptr::from_ref(owner).cast::<Lent>().read() };
        lent.release = Some(give_back);
        lent
    }
}

/// Marks it as released, as the interface asks for.
unsafe extern "C" fn give_back(lent: *mut Lent) {
    // SAFETY: called by the library with the array that it was lent.
    unsafe { (*lent).release = None };
}
