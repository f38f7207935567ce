//! Which test ran against what kind of server, for the end of the run.

use std::io::Write;

use nix::unistd::{User, geteuid};

/// Notes in the file named by `WEIR_TEST_REPORT` that the running test uses
/// this kind of server.
pub fn note(kind: &str) {
    let Some(report) = crate::setting("WEIR_TEST_REPORT") else {
        return;
    };
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    let file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(report);
    // The report is for people; a test does not fail for it.
    let _ = file.and_then(|mut file| file.write_all(format!("{kind}\t{test}\n").as_bytes()));
}

/// The name of the account, ours when none is given.
pub fn account(user: Option<&User>) -> String {
    let ours = || User::from_uid(geteuid()).ok().flatten();
    user.cloned()
        .or_else(ours)
        .map_or_else(|| geteuid().to_string(), |user| user.name)
}
