//! The broker that is measured: one that runs, or one that is started for the run.

use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long a broker may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// What a broker says when it serves, before its address.
const READY: &str = "ready at ";

/// Where a run goes to.
#[derive(Clone, Debug)]
pub struct TargetOptions {
    /// What reports call it.
    pub name: String,
    /// `host:port`, several separated by commas.
    pub bootstrap: String,
    /// Its process, when it runs on this machine.
    pub pid: Option<u32>,
    /// Started for the run.
    pub is_embedded: bool,
}

/// A broker that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is nowhere for its data.
    #[error("no folder for the broker's data can be made in {}: {source}", folder.display())]
    Folder {
        /// Where it was to be.
        folder: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The process cannot be started.
    #[error("cannot start {}: {source}", program.display())]
    Spawn {
        /// What was to be started.
        program: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// It ended, or said nothing, instead of serving.
    #[error("the broker did not start:\n{said}")]
    NotReady {
        /// What it said on standard error.
        said: String,
    },
}

/// A server in a process of its own, with its data, if it has any, in a folder that goes with it.
#[derive(Debug)]
pub struct EmbeddedBroker {
    child: Child,
    address: String,
    /// Removed when the broker is gone: dropped after [`Drop::drop`] has waited for it.
    _data: Option<TempDir>,
}

impl EmbeddedBroker {
    /// Runs `program serve` with `arguments` on a port of the kernel's choice, its data in a new
    /// folder below `folder`.
    pub fn start(
        program: &Path,
        folder: &Path,
        arguments: &[String],
    ) -> Result<EmbeddedBroker, StartError> {
        let data = tempfile::Builder::new()
            .prefix("sillon-bench-")
            .tempdir_in(folder)
            .map_err(|source| StartError::Folder {
                folder: folder.to_path_buf(),
                source,
            })?;
        let mut command = Command::new(program);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data.path().join("data"))
            .args(arguments);
        EmbeddedBroker::spawn(program, command, Some(data))
    }

    /// Runs a program that says `ready at ADDRESS` on standard error as a broker does.
    pub fn start_program(program: &Path, arguments: &[&str]) -> Result<EmbeddedBroker, StartError> {
        let mut command = Command::new(program);
        command.args(arguments);
        EmbeddedBroker::spawn(program, command, None)
    }

    fn spawn(
        program: &Path,
        mut command: Command,
        data: Option<TempDir>,
    ) -> Result<EmbeddedBroker, StartError> {
        let spawned = command
            .env_remove("SILLON_BOOTSTRAP")
            // It ends with whoever holds this; a broker does not read it.
            .stdin(Stdio::piped())
            // Ctrl-C is for the generator, which stops the broker when it has verified its log.
            .process_group(0)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = spawned.map_err(|source| StartError::Spawn {
            program: program.to_path_buf(),
            source,
        })?;
        let stderr = child.stderr.take().expect("it is piped");
        let (send, receive) = mpsc::channel();
        thread::spawn(move || {
            let mut said = String::new();
            // What it says later must not fill the pipe; it is of no interest.
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Some(rest) = line.strip_prefix(READY) {
                    let address = rest.split(' ').next().unwrap_or_default().to_string();
                    let _ = send.send(Ok(address));
                    said.clear();
                }
                said.push_str(&line);
                said.push('\n');
            }
            let _ = send.send(Err(said));
        });
        match receive.recv_timeout(START_TIMEOUT) {
            Ok(Ok(address)) => Ok(EmbeddedBroker {
                child,
                address,
                _data: data,
            }),
            other => {
                let _ = child.kill();
                let _ = child.wait();
                let said = match other {
                    Ok(Err(said)) => said,
                    _ => format!("it was not ready in {} s", START_TIMEOUT.as_secs()),
                };
                Err(StartError::NotReady { said })
            }
        }
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// It as a target.
    pub fn target(&self, name: &str) -> TargetOptions {
        TargetOptions {
            name: name.to_string(),
            bootstrap: self.address.clone(),
            pid: Some(self.pid()),
            is_embedded: true,
        }
    }
}

/// Asks it to stop and waits for it, so that its folder can go.
impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        // Both fail when it has ended already.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}
