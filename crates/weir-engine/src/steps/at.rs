//! Where a step stands in what the caller sent.

use weir_core::config::escape_pointer;

/// The JSON pointer of a step: `/steps/3`, or `?steps/3` in a query string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    step: String,
    /// Arguments stand where a payload of Mage has them.
    is_payload: bool,
}

impl At {
    /// The step at place `index` of the list that `list` points to.
    pub fn new(list: &str, index: usize) -> Self {
        At {
            step: format!("{list}/{index}"),
            is_payload: false,
        }
    }

    /// The same place, where a payload of Mage stands.
    pub(super) fn of_payload(at: At) -> Self {
        At {
            is_payload: true,
            ..at
        }
    }

    /// The pointer of the step itself.
    pub fn step(&self) -> &str {
        &self.step
    }

    /// The pointer of one of its arguments.
    pub fn field(&self, name: &str) -> String {
        self.inner(&format!("/{}", escape_pointer(name)))
    }

    /// The pointer of an item of an argument that is a list.
    pub fn item(&self, name: &str, index: usize) -> String {
        self.inner(&format!("/{}/{index}", escape_pointer(name)))
    }

    /// The pointer of what stands at `inner` in the arguments.
    pub(super) fn inner(&self, inner: &str) -> String {
        if !self.is_payload {
            return format!("{}{inner}", self.step);
        }
        let (name, rest) = match inner.trim_start_matches('/').split_once('/') {
            Some((name, rest)) => (name, format!("/{rest}")),
            None => (inner.trim_start_matches('/'), String::new()),
        };
        let (member, rest) = match name {
            "columns" => ("action_arguments".to_owned(), rest),
            "column" => ("action_arguments/0".to_owned(), rest),
            "by" => ("action_arguments".to_owned(), rest.replace("/column", "")),
            "condition" => ("action_code".to_owned(), rest),
            "name" | "names" => ("outputs".to_owned(), String::new()),
            "" => return self.step.clone(),
            other if other.starts_with("action_") || ["outputs", "axis"].contains(&other) => {
                (other.to_owned(), rest)
            }
            other => (format!("action_options/{other}"), rest),
        };
        format!("{}/{member}{rest}", self.step)
    }
}
