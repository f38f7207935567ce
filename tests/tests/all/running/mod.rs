//! The process: how it starts, stops, and survives.

mod crash;
mod doctor;
mod embedded;
mod first_start;
mod instances;
mod listening;
mod rotation;
mod secrets;
mod settings;
mod sources_file;
mod stop;
