//! The C interface as function pointers, found by name in the library.
//!
//! Types and signatures are those of `duckdb.h`. Nothing outside of this crate
//! sees them.

use std::ffi::{c_char, c_int, c_void};

use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use libloading::Library;

/// Handles of the library; none of them is ever looked into.
pub type Handle = *mut c_void;

/// `duckdb_state`: 0 is success.
pub type State = c_int;

/// `duckdb_result`. All but the last field are deprecated.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RawResult {
    column_count: u64,
    row_count: u64,
    rows_changed: u64,
    columns: Handle,
    error_message: *mut c_char,
    internal: Handle,
}

impl RawResult {
    /// One that a call fills.
    pub const EMPTY: RawResult = RawResult {
        column_count: 0,
        row_count: 0,
        rows_changed: 0,
        columns: std::ptr::null_mut(),
        error_message: std::ptr::null_mut(),
        internal: std::ptr::null_mut(),
    };
}

type Out<T> = *mut T;
type Text = *const c_char;

/// Every function that is called.
pub struct Api {
    pub library_version: unsafe extern "C" fn() -> Text,
    pub free: unsafe extern "C" fn(Handle),
    pub create_config: unsafe extern "C" fn(Out<Handle>) -> State,
    pub set_config: unsafe extern "C" fn(Handle, Text, Text) -> State,
    pub destroy_config: unsafe extern "C" fn(Out<Handle>),
    pub open_ext: unsafe extern "C" fn(Text, Out<Handle>, Handle, Out<*mut c_char>) -> State,
    pub close: unsafe extern "C" fn(Out<Handle>),
    pub connect: unsafe extern "C" fn(Handle, Out<Handle>) -> State,
    pub disconnect: unsafe extern "C" fn(Out<Handle>),
    pub interrupt: unsafe extern "C" fn(Handle),
    pub query: unsafe extern "C" fn(Handle, Text, Out<RawResult>) -> State,
    pub destroy_result: unsafe extern "C" fn(Out<RawResult>),
    pub result_error: unsafe extern "C" fn(Out<RawResult>) -> Text,
    pub result_options: unsafe extern "C" fn(Out<RawResult>) -> Handle,
    pub rows_changed: unsafe extern "C" fn(Out<RawResult>) -> u64,
    pub column_count: unsafe extern "C" fn(Out<RawResult>) -> u64,
    pub column_name: unsafe extern "C" fn(Out<RawResult>, u64) -> Text,
    pub column_logical_type: unsafe extern "C" fn(Out<RawResult>, u64) -> Handle,
    pub fetch_chunk: unsafe extern "C" fn(RawResult) -> Handle,
    pub chunk_size: unsafe extern "C" fn(Handle) -> u64,
    pub destroy_chunk: unsafe extern "C" fn(Out<Handle>),
    pub prepare: unsafe extern "C" fn(Handle, Text, Out<Handle>) -> State,
    pub destroy_prepare: unsafe extern "C" fn(Out<Handle>),
    pub prepare_error: unsafe extern "C" fn(Handle) -> Text,
    pub parameters: unsafe extern "C" fn(Handle) -> u64,
    pub statement_type: unsafe extern "C" fn(Handle) -> c_int,
    pub prepared_columns: unsafe extern "C" fn(Handle) -> u64,
    pub prepared_name: unsafe extern "C" fn(Handle, u64) -> Text,
    pub prepared_type: unsafe extern "C" fn(Handle, u64) -> Handle,
    pub bind_null: unsafe extern "C" fn(Handle, u64) -> State,
    pub bind_boolean: unsafe extern "C" fn(Handle, u64, bool) -> State,
    pub bind_int64: unsafe extern "C" fn(Handle, u64, i64) -> State,
    pub bind_double: unsafe extern "C" fn(Handle, u64, f64) -> State,
    pub bind_text: unsafe extern "C" fn(Handle, u64, Text, u64) -> State,
    pub execute: unsafe extern "C" fn(Handle, Out<RawResult>) -> State,
    pub execute_streaming: unsafe extern "C" fn(Handle, Out<RawResult>) -> State,
    pub destroy_type: unsafe extern "C" fn(Out<Handle>),
    pub type_id: unsafe extern "C" fn(Handle) -> c_int,
    pub type_alias: unsafe extern "C" fn(Handle) -> *mut c_char,
    pub decimal_width: unsafe extern "C" fn(Handle) -> u8,
    pub decimal_scale: unsafe extern "C" fn(Handle) -> u8,
    pub list_child: unsafe extern "C" fn(Handle) -> Handle,
    pub array_child: unsafe extern "C" fn(Handle) -> Handle,
    pub array_size: unsafe extern "C" fn(Handle) -> u64,
    pub struct_count: unsafe extern "C" fn(Handle) -> u64,
    pub struct_name: unsafe extern "C" fn(Handle, u64) -> *mut c_char,
    pub struct_child: unsafe extern "C" fn(Handle, u64) -> Handle,
    pub destroy_options: unsafe extern "C" fn(Out<Handle>),
    pub to_arrow_schema:
        unsafe extern "C" fn(Handle, Out<Handle>, *const Text, u64, Out<FFI_ArrowSchema>) -> Handle,
    pub chunk_to_arrow: unsafe extern "C" fn(Handle, Handle, Out<FFI_ArrowArray>) -> Handle,
    pub schema_from_arrow:
        unsafe extern "C" fn(Handle, Out<FFI_ArrowSchema>, Out<Handle>) -> Handle,
    pub chunk_from_arrow:
        unsafe extern "C" fn(Handle, Out<FFI_ArrowArray>, Handle, Out<Handle>) -> Handle,
    pub destroy_converted: unsafe extern "C" fn(Out<Handle>),
    pub error_text: unsafe extern "C" fn(Handle) -> Text,
    pub error_is_set: unsafe extern "C" fn(Handle) -> bool,
    pub destroy_error: unsafe extern "C" fn(Out<Handle>),
    pub appender_create: unsafe extern "C" fn(Handle, Text, Text, Text, Out<Handle>) -> State,
    pub appender_append: unsafe extern "C" fn(Handle, Handle) -> State,
    pub appender_error: unsafe extern "C" fn(Handle) -> Handle,
    pub appender_close: unsafe extern "C" fn(Handle) -> State,
    pub appender_destroy: unsafe extern "C" fn(Out<Handle>) -> State,
}

/// The pointer behind a name.
///
/// # Safety
///
/// `T` is the type of that function.
unsafe fn find<T: Copy>(library: &Library, name: &'static str) -> Result<T, &'static str> {
    // SAFETY: the caller promises the type.
    let symbol = unsafe { library.get::<T>(name.as_bytes()) };
    symbol.map(|found| *found).map_err(|_| name)
}

impl Api {
    /// Finds all functions; the error is the name of one that is missing.
    ///
    /// # Safety
    ///
    /// The library is DuckDB, so that these names have the types of its header.
    /// It must stay loaded for as long as anything here is called.
    pub unsafe fn of(l: &Library) -> Result<Self, &'static str> {
        // SAFETY: each field has the type that the header gives to its function.
        unsafe {
            Ok(Api {
                library_version: find(l, "duckdb_library_version")?,
                free: find(l, "duckdb_free")?,
                create_config: find(l, "duckdb_create_config")?,
                set_config: find(l, "duckdb_set_config")?,
                destroy_config: find(l, "duckdb_destroy_config")?,
                open_ext: find(l, "duckdb_open_ext")?,
                close: find(l, "duckdb_close")?,
                connect: find(l, "duckdb_connect")?,
                disconnect: find(l, "duckdb_disconnect")?,
                interrupt: find(l, "duckdb_interrupt")?,
                query: find(l, "duckdb_query")?,
                destroy_result: find(l, "duckdb_destroy_result")?,
                result_error: find(l, "duckdb_result_error")?,
                result_options: find(l, "duckdb_result_get_arrow_options")?,
                rows_changed: find(l, "duckdb_rows_changed")?,
                column_count: find(l, "duckdb_column_count")?,
                column_name: find(l, "duckdb_column_name")?,
                column_logical_type: find(l, "duckdb_column_logical_type")?,
                fetch_chunk: find(l, "duckdb_fetch_chunk")?,
                chunk_size: find(l, "duckdb_data_chunk_get_size")?,
                destroy_chunk: find(l, "duckdb_destroy_data_chunk")?,
                prepare: find(l, "duckdb_prepare")?,
                destroy_prepare: find(l, "duckdb_destroy_prepare")?,
                prepare_error: find(l, "duckdb_prepare_error")?,
                parameters: find(l, "duckdb_nparams")?,
                statement_type: find(l, "duckdb_prepared_statement_type")?,
                prepared_columns: find(l, "duckdb_prepared_statement_column_count")?,
                prepared_name: find(l, "duckdb_prepared_statement_column_name")?,
                prepared_type: find(l, "duckdb_prepared_statement_column_logical_type")?,
                bind_null: find(l, "duckdb_bind_null")?,
                bind_boolean: find(l, "duckdb_bind_boolean")?,
                bind_int64: find(l, "duckdb_bind_int64")?,
                bind_double: find(l, "duckdb_bind_double")?,
                bind_text: find(l, "duckdb_bind_varchar_length")?,
                execute: find(l, "duckdb_execute_prepared")?,
                execute_streaming: find(l, "duckdb_execute_prepared_streaming")?,
                destroy_type: find(l, "duckdb_destroy_logical_type")?,
                type_id: find(l, "duckdb_get_type_id")?,
                type_alias: find(l, "duckdb_logical_type_get_alias")?,
                decimal_width: find(l, "duckdb_decimal_width")?,
                decimal_scale: find(l, "duckdb_decimal_scale")?,
                list_child: find(l, "duckdb_list_type_child_type")?,
                array_child: find(l, "duckdb_array_type_child_type")?,
                array_size: find(l, "duckdb_array_type_array_size")?,
                struct_count: find(l, "duckdb_struct_type_child_count")?,
                struct_name: find(l, "duckdb_struct_type_child_name")?,
                struct_child: find(l, "duckdb_struct_type_child_type")?,
                destroy_options: find(l, "duckdb_destroy_arrow_options")?,
                to_arrow_schema: find(l, "duckdb_to_arrow_schema")?,
                chunk_to_arrow: find(l, "duckdb_data_chunk_to_arrow")?,
                schema_from_arrow: find(l, "duckdb_schema_from_arrow")?,
                chunk_from_arrow: find(l, "duckdb_data_chunk_from_arrow")?,
                destroy_converted: find(l, "duckdb_destroy_arrow_converted_schema")?,
                error_text: find(l, "duckdb_error_data_message")?,
                error_is_set: find(l, "duckdb_error_data_has_error")?,
                destroy_error: find(l, "duckdb_destroy_error_data")?,
                appender_create: find(l, "duckdb_appender_create_ext")?,
                appender_append: find(l, "duckdb_append_data_chunk")?,
                appender_error: find(l, "duckdb_appender_error_data")?,
                appender_close: find(l, "duckdb_appender_close")?,
                appender_destroy: find(l, "duckdb_appender_destroy")?,
            })
        }
    }
}
