//! Child programs that end with the test process.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};

use crate::eventually;

const SCRIPT: &str = include_str!("guard.sh");

/// What to run below a guard.
#[derive(Debug, Clone)]
pub struct Program {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Its whole environment.
    pub env: Vec<(String, String)>,
    /// Where its output goes.
    pub log: PathBuf,
    /// Account to run under; none: that of the test.
    pub user: Option<User>,
    /// Signal that ends it gracefully.
    pub signal: &'static str,
    /// Pid file of a server that it starts itself.
    pub follow: Option<PathBuf>,
    /// Folder to remove when this process dies without stopping the program.
    pub trash: Option<PathBuf>,
}

/// A running program; dropping it ends the program.
#[derive(Debug)]
pub struct Guarded {
    wrapper: Child,
    pipe: Option<ChildStdin>,
    pid: Pid,
}

impl Guarded {
    /// Starts `program`.
    pub fn start(program: &Program) -> Self {
        let or_dash = |path: &Option<PathBuf>| path.as_deref().unwrap_or(Path::new("-")).to_owned();
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", SCRIPT, "guard.sh", program.signal])
            .arg(&program.log)
            .arg(or_dash(&program.follow))
            .arg(or_dash(&program.trash))
            .args(&program.command)
            .env_clear()
            .envs(program.env.iter().cloned())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A ^C in the terminal reaches the test only; the pipe does the rest.
            .process_group(0);
        if let Some(user) = &program.user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        let mut wrapper = command.spawn().expect("cannot start /bin/sh");
        let pipe = wrapper.stdin.take();
        let mut line = String::new();
        BufReader::new(wrapper.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let pid = Pid::from_raw(line.trim().parse().expect("the guard names the pid"));
        Guarded { wrapper, pipe, pid }
    }

    /// The program's own pid.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let _ = kill(self.pid, signal);
    }

    /// Whether it has ended, and with which code.
    pub fn ended(&mut self) -> Option<i32> {
        self.wrapper
            .try_wait()
            .unwrap()
            .and_then(|status| status.code())
    }

    /// Waits for its end.
    pub async fn wait(&mut self, limit: Duration) -> Option<i32> {
        eventually(limit, async || self.ended()).await
    }

    /// Ends the guard without touching what the program has left running.
    pub async fn leave(mut self, limit: Duration) -> Option<i32> {
        if let Some(mut pipe) = self.pipe.take() {
            let _ = pipe.write_all(b"leave\n");
        }
        self.wait(limit).await
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            let _ = pipe.write_all(b"stop\n");
        }
        let _ = self.wrapper.wait();
    }
}
