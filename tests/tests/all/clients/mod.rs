//! Tools of others read the documents: linters, generators of clients, a browser.

mod broken;
mod browser;
mod fuzz;
mod generated;
mod lints;

use std::path::Path;
use std::process::Command;

/// Runs a program to its end; what it printed, which must be without failure.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{command:?}\n{text}");
    text
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
