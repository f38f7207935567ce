//! The list of every connector of this build. Adding one is one line here.

use weir_core::Registry;

/// Every connector, by kind.
pub fn registry() -> Registry {
    Registry::new([connect_sample::entry(), connect_sql::postgres::entry()])
}
