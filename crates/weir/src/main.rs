//! The `weir` binary: settings, wiring, telemetry, shutdown.

mod doctor;
mod files;
mod keys;
mod limits;
mod listen;
mod machine;
mod serve;
mod settings;
mod sources_file;
mod telemetry;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use settings::Settings;
use weir_api::system::ConnectorView;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Any data source over plain REST, streamed as JSON or Arrow.
#[derive(Parser)]
#[command(name = "weir", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service (also when no command is given)
    Serve(Settings),
    /// Bring the store's schema up to date and exit
    Migrate(Settings),
    /// Look at the configuration, the store and every source, and say what is wrong
    Doctor(Settings),
    /// Look after the master keys
    #[command(subcommand)]
    Keys(Keys),
    /// Print the OpenAPI document
    Openapi {
        /// Version of OpenAPI: 3.1 is the reference, 3.0 is for tools that cannot read it
        #[arg(long, value_name = "VERSION", default_value = "3.1", value_parser = ["3.1", "3.0"])]
        openapi_version: String,
    },
    /// Print the catalogue of connectors as JSON
    Connectors,
}

#[derive(Subcommand)]
enum Keys {
    /// Seal everything under the newest of the keys in WEIR_MASTER_KEY; instances may run meanwhile
    Rotate(Settings),
}

fn main() -> std::process::ExitCode {
    // With two providers compiled in, rustls refuses to guess.
    weir_net::install_crypto();
    match run(Cli::parse()) {
        Ok(true) => std::process::ExitCode::SUCCESS,
        // What is wrong was said already.
        Ok(false) => std::process::ExitCode::FAILURE,
        Err(error) => {
            eprintln!("weir: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

/// Runs a command; says whether all is well.
fn run(cli: Cli) -> Result<bool> {
    let command = match cli.command {
        Some(command) => command,
        None => Command::Serve(settings::bare()?),
    };
    match command {
        Command::Serve(settings) => {
            let settings = settings.complete()?;
            telemetry::install(&settings)?;
            serve::serve(&settings)
        }
        Command::Migrate(settings) => {
            let settings = settings.complete()?;
            telemetry::install(&settings)?;
            serve::migrate(&settings)
        }
        Command::Doctor(settings) => return doctor::examine_all(settings.complete()),
        Command::Keys(Keys::Rotate(settings)) => {
            let settings = settings.complete()?;
            telemetry::install(&settings)?;
            keys::rotate(&settings)
        }
        Command::Openapi { openapi_version } => print(match openapi_version.as_str() {
            "3.0" => weir_api::openapi::text_3_0(),
            _ => weir_api::openapi::text(),
        }),
        Command::Connectors => {
            let registry = weir_catalog::registry(weir_catalog::Options::default());
            let all: Vec<ConnectorView> = registry
                .iter()
                .map(|c| ConnectorView::of(c.as_ref()))
                .collect();
            print(&format!("{}\n", serde_json::to_string_pretty(&all)?))
        }
    }?;
    Ok(true)
}

/// Prints to standard output; a reader that went away is not a failure.
fn print(text: &str) -> Result<()> {
    use std::io::Write;
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write to standard output"),
    }
}
