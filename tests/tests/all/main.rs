//! All black-box tests, in one binary: `api` mirrors the tree of URLs,
//! `clients` is about those who read its document, `running` about the process, `house` about the repository.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod api;
mod clients;
mod house;
mod running;
