//! What databases that speak SQL have in common.
//!
//! | file | what is in it |
//! |---|---|
//! | `file` | a database that is one file |
//! | `settings`, `url` | parts of their configuration |
//! | `guard` | which statements only read |
//! | `read` | what of a read its statement takes over |
//! | `convert` | columns brought into the type that is written |
//! | `compare` | filters and orders as SQL, over what a dialect says |
//! | `decode` | values as they come, into Arrow arrays |
//! | `literal` | values that are compared, read strictly |
//! | `send` | rows into bytes, ahead of the connection |
//! | `target` | the table that is written to, and what goes into its columns |

pub mod compare;
pub mod convert;
pub mod decode;
pub mod file;
pub mod guard;
pub mod literal;
pub mod read;
pub mod send;
pub mod settings;
pub mod target;
pub mod url;
