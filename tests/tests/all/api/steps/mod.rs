//! Steps, wherever rows come from: their catalogue, where they are taken, what
//! they report, and what is said of those that cannot run.

mod catalogue;
mod golden;
mod log;
mod malformed;
mod nasty;
mod parts;
mod reports;
mod sources;
mod suggestions;
