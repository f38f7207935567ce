//! The list of every connector of this build. Adding one is one line here.

pub use connect_files::Rules as FileRules;
use weir_core::Registry;

/// What the operator's settings mean for connectors.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What local files may be read.
    pub files: FileRules,
}

/// Every connector, by kind.
pub fn registry(options: Options) -> Registry {
    Registry::new([
        connect_files::entry(options.files),
        connect_sample::entry(),
        connect_sql::postgres::entry(),
    ])
}
