//! Steps over whole columns: which ones there are, in which order, under which
//! names.

use std::collections::{HashMap, HashSet};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use weir_core::config::nearest;
use weir_core::{Error, Result};

use super::at::At;
use super::frame::{Frame, Out};
use super::pipeline::Step;

/// Keeps columns.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Select {
    /// The columns to keep, in this order.
    pub columns: Vec<String>,
}

impl Step for Select {
    fn check(&self, at: &At) -> Result<()> {
        no_repeats("columns", &self.columns, at)
    }

    fn plan(self, frame: Frame, at: &At) -> Result<Frame> {
        let places = frame.indices(&self.columns, at)?;
        let outs = places.into_iter().zip(self.columns);
        frame.columns(
            outs.map(|(place, name)| Out::keep_as(place, name))
                .collect(),
        )
    }
}

/// A name that stands twice in a list makes the answer ambiguous.
pub(super) fn no_repeats(field: &str, names: &[String], at: &At) -> Result<()> {
    let mut seen = HashSet::new();
    for (index, name) in names.iter().enumerate() {
        if !seen.insert(name) {
            let message = format!("the column `{name}` stands twice");
            return Err(Error::invalid(at.item(field, index), message));
        }
    }
    Ok(())
}

/// Removes columns.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveColumn {
    /// The columns to remove.
    pub columns: Vec<String>,
}

impl Step for RemoveColumn {
    fn plan(self, frame: Frame, _: &At) -> Result<Frame> {
        for name in &self.columns {
            if frame.find(name).is_none() {
                frame.tally().warn(unknown_warning(&frame, name));
            }
        }
        let removed: HashSet<&str> = self.columns.iter().map(String::as_str).collect();
        let names = frame.names();
        let places = (0..names.len()).filter(|place| !removed.contains(names[*place]));
        let gone = names.iter().filter(|name| removed.contains(**name));
        let gone: Vec<Value> = gone.map(|name| Value::from(*name)).collect();
        let outs = places.map(|place| Out::keep_as(place, names[place]));
        let outs: Vec<Out> = outs.collect();
        frame.note("removed_columns", gone);
        frame.columns(outs)
    }
}

fn unknown_warning(frame: &Frame, name: &str) -> String {
    match nearest(name, &frame.names()) {
        Some(near) => format!("there is no column `{name}`; is `{near}` meant?"),
        None => format!("there is no column `{name}`"),
    }
}

/// Renames columns.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rename {
    /// New names by old ones; all at once, so that two can swap.
    #[schemars(with = "HashMap<String, String>")]
    pub names: Map<String, Value>,
}

impl Rename {
    fn pointer(at: &At, old: &str) -> String {
        format!(
            "{}/{}",
            at.field("names"),
            weir_core::config::escape_pointer(old)
        )
    }
}

impl Step for Rename {
    fn check(&self, at: &At) -> Result<()> {
        let mut seen = HashSet::new();
        for (old, new) in &self.names {
            let pointer = Rename::pointer(at, old);
            let Some(new) = new.as_str() else {
                return Err(Error::invalid(pointer, "a new name is text"));
            };
            if new.is_empty() {
                return Err(Error::invalid(pointer, "a new name must not be empty"));
            }
            if !seen.insert(new) {
                let message = format!("two columns cannot both become `{new}`");
                return Err(Error::invalid(pointer, message));
            }
        }
        Ok(())
    }

    fn plan(self, frame: Frame, at: &At) -> Result<Frame> {
        let mut names: Vec<String> = frame.names().iter().map(|n| (*n).to_owned()).collect();
        let mut renamed = Map::new();
        for (old, new) in &self.names {
            match (frame.find(old), new.as_str()) {
                (Some(place), Some(new)) => {
                    names[place] = new.to_owned();
                    renamed.insert(old.clone(), new.into());
                }
                _ => frame.tally().warn(unknown_warning(&frame, old)),
            }
        }
        for (old, new) in &renamed {
            let same = names
                .iter()
                .filter(|name| Some(name.as_str()) == new.as_str());
            if same.count() > 1 {
                let new = new.as_str().unwrap_or_default();
                let message =
                    format!("`{old}` cannot become `{new}`: there is a column of that name");
                return Err(Error::invalid(Rename::pointer(at, old), message)
                    .hint("rename or remove that column in the same step or before it"));
            }
        }
        frame.note("renamed", renamed);
        let outs = names.into_iter().enumerate();
        frame.columns(
            outs.map(|(place, name)| Out::keep_as(place, name))
                .collect(),
        )
    }
}
