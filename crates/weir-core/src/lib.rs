//! The words everyone in Weir speaks: errors, secrets, connectors and their
//! roles, reads, predicates, and the context a call runs in.
//!
//! This crate knows Arrow types, serde and JSON Schema; it knows no server, no
//! database and no engine, so that a connector can be read and tested alone.

pub mod config;
pub mod connector;
pub mod context;
mod duplicates;
pub mod erased;
pub mod error;
pub mod evaluate;
pub mod memory;
pub mod predicate;
pub mod read;
pub mod reference;
pub mod secret;
pub mod sink;
pub mod source;
pub mod stream_id;
pub mod task;
pub mod types;

pub use connector::{Capability, Category, Connector, Descriptor, Entry, Registry, TestedAgainst};
pub use context::{Context, Deadline, Dial, Dialed, Endpoint};
pub use erased::{AnyConnector, OpenSource, memory_of, memory_of_array, unknown_outcome};
pub use error::{Error, FieldError, Kind, Result, SourceFault, SourceMessage};
pub use memory::{Account, Memory};
pub use predicate::{Comparison, Conjuncts, Operand, Predicate, Value};
pub use read::{Nulls, Order, Read, Target};
pub use secret::Secret;
pub use sink::{Commit, Rows, SchemaChange, Sink, Write, WriteMode, Written};
pub use source::{
    BatchStream, Column, Discover, Estimate, Page, PushDown, Pushed, Scan, Source, StreamInfo,
    StreamSchema, TestReport, TestStep,
};
pub use stream_id::StreamId;
