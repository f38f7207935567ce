//! All black-box tests, in one binary.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
mod house;
