//! What the house rules ask of the repository itself.

mod conventions;
mod dependencies;
mod files;
mod generated;
