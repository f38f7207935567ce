//! Where a step stands in what the caller sent.

use weir_core::config::escape_pointer;

/// The JSON pointer of a step: `/steps/3`, or `?steps/3` in a query string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At(String);

impl At {
    /// The step at place `index` of the list that `list` points to.
    pub fn new(list: &str, index: usize) -> Self {
        At(format!("{list}/{index}"))
    }

    /// The pointer of the step itself.
    pub fn step(&self) -> &str {
        &self.0
    }

    /// The pointer of one of its arguments.
    pub fn field(&self, name: &str) -> String {
        format!("{}/{}", self.0, escape_pointer(name))
    }

    /// The pointer of an item of an argument that is a list.
    pub fn item(&self, name: &str, index: usize) -> String {
        format!("{}/{}/{index}", self.0, escape_pointer(name))
    }
}
