//! A server that outlived the process which started it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use weir_core::Result;

use super::account::{Account, server_uid};
use super::{failed, io_failed};

/// What the process in `postmaster.pid` is.
#[derive(Debug, PartialEq, Eq)]
enum Holder {
    /// No such process.
    Gone,
    /// A server of this cluster.
    Ours,
    /// Another program that got the same number.
    Other,
    /// The system does not tell.
    Unknown,
}

/// Stops a server that still runs on the cluster. The caller holds the lock,
/// so nobody else uses that server.
pub(super) async fn clear(data: &Path, account: Option<&Account>) -> Result<()> {
    let note = data.join("postmaster.pid");
    let Some(pid) = noted_pid(&note) else {
        return Ok(());
    };
    match holder(pid, data, server_uid(account)).await {
        // The server itself clears the note of a dead one; when it cannot
        // tell, it refuses to start and says so.
        Holder::Gone | Holder::Unknown => Ok(()),
        Holder::Other => {
            tracing::warn!(%pid, "the note of a dead postgres names a process that is something else; removing the note");
            std::fs::remove_file(&note).map_err(|error| io_failed("remove", &note, &error))
        }
        Holder::Ours => {
            tracing::warn!(%pid, "stopping a private postgres that outlived its service");
            stop(pid).await
        }
    }
}

fn noted_pid(note: &Path) -> Option<Pid> {
    let text = std::fs::read_to_string(note).ok()?;
    let number: i32 = text.lines().next()?.trim().parse().ok()?;
    // 0 and below would signal whole groups, 1 is the system's own.
    (number > 1).then(|| Pid::from_raw(number))
}

async fn holder(pid: Pid, data: &Path, uid: u32) -> Holder {
    if kill(pid, None) == Err(Errno::ESRCH) {
        return Holder::Gone;
    }
    let Some((command, owner)) = command_of(pid).await else {
        return Holder::Unknown;
    };
    let server = command
        .first()
        .is_some_and(|program| Path::new(program).ends_with("postgres"));
    let here = command
        .windows(2)
        .any(|pair| pair[0] == "-D" && Path::new(&pair[1]) == data);
    if server && here && owner.is_none_or(|owner| owner == uid) {
        Holder::Ours
    } else {
        Holder::Other
    }
}

/// Program and arguments of a process, and its user where known.
async fn command_of(pid: Pid) -> Option<(Vec<String>, Option<u32>)> {
    let folder = Path::new("/proc").join(pid.to_string());
    if let Ok(bytes) = std::fs::read(folder.join("cmdline")) {
        let words = bytes
            .split(|byte| *byte == 0)
            .map(|word| String::from_utf8_lossy(word).into_owned());
        return Some((
            words.collect(),
            std::fs::metadata(&folder).ok().map(|found| found.uid()),
        ));
    }
    if Path::new("/proc/self").exists() {
        return None;
    }
    // Systems without /proc. Blanks in paths make this inexact, and then the answer is `Other`.
    let pid = pid.to_string();
    let asked = tokio::process::Command::new("ps")
        .args(["-ww", "-o", "command=", "-p", pid.as_str()])
        .output();
    let answer = asked.await.ok()?;
    let words = String::from_utf8(answer.stdout).ok()?;
    Some((words.split_whitespace().map(str::to_owned).collect(), None))
}

async fn stop(pid: Pid) -> Result<()> {
    let steps = [
        (Signal::SIGINT, 10),
        (Signal::SIGQUIT, 10),
        (Signal::SIGKILL, 5),
    ];
    for (signal, seconds) in steps {
        if kill(pid, signal) == Err(Errno::ESRCH)
            || gone_within(pid, Duration::from_secs(seconds)).await
        {
            return Ok(());
        }
    }
    Err(failed(format!(
        "the private postgres of an earlier start, process {pid}, does not stop"
    ))
    .hint(format!("stop it with `kill -9 {pid}`, then start again")))
}

async fn gone_within(pid: Pid, limit: Duration) -> bool {
    let start = Instant::now();
    while start.elapsed() < limit {
        if kill(pid, None) == Err(Errno::ESRCH) || is_zombie(pid) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

/// A dead process whose parent has not asked for it yet.
fn is_zombie(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| {
        stat.rsplit(')')
            .next()
            .is_some_and(|rest| rest.trim_start().starts_with('Z'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn another_program_with_the_noted_number_is_left_alone() {
        let ourselves = Pid::this();
        let uid = nix::unistd::geteuid().as_raw();
        assert_eq!(
            holder(ourselves, Path::new("/nowhere"), uid).await,
            Holder::Other
        );
    }

    #[test]
    fn only_numbers_of_single_processes_are_taken() {
        let folder = tempfile::tempdir().unwrap();
        let note = folder.path().join("postmaster.pid");
        for (text, expected) in [
            ("123\n/data\n", Some(123)),
            ("-5\n", None),
            ("1", None),
            ("0", None),
            ("", None),
            ("x", None),
        ] {
            std::fs::write(&note, text).unwrap();
            assert_eq!(noted_pid(&note).map(Pid::as_raw), expected, "{text:?}");
        }
    }
}
