//! What the house rules ask of the repository itself.

mod dependencies;
mod files;
mod generated;
