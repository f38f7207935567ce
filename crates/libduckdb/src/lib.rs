//! DuckDB through its C interface, from a shared library that is opened when the
//! service runs.
