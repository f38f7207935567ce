//! The process: how it starts, stops, and survives.

mod crash;
mod embedded;
mod first_start;
mod instances;
mod secrets;
mod settings;
mod stop;
