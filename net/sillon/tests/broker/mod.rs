//! The binary under test: a broker in a folder of its own, and commands that talk to it.

#![allow(dead_code)] // Each test file uses its part.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long a broker may take to start, and a command to end.
const PATIENCE: Duration = Duration::from_secs(60);

fn sillon() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sillon"));
    for name in ["SILLON_BOOTSTRAP", "SILLON_LOG"] {
        command.env_remove(name);
    }
    command
}

/// A broker that runs. Killed when it is dropped.
pub struct Broker {
    child: Child,
    pub address: String,
    /// What it said on standard error until it was ready.
    pub first_words: String,
}

/// A folder for a broker's data, on the disk that the build is on.
pub fn data_dir() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

impl Broker {
    pub fn start(data: &TempDir, arguments: &[&str]) -> Broker {
        Broker::start_with(data, arguments, &[])
    }

    /// As [`Self::start`], with variables. Arguments go before those that tests share.
    pub fn start_with(data: &TempDir, arguments: &[&str], variables: &[(&str, &str)]) -> Broker {
        let listen = ["--listen", "127.0.0.1:0"];
        let has_listeners = variables
            .iter()
            .any(|(name, _)| name.ends_with("LISTENERS"));
        let listen = match arguments.contains(&"--listen") || has_listeners {
            true => &[][..],
            false => &listen[..],
        };
        let mut child = sillon()
            .envs(variables.iter().copied())
            .args(["serve", "--memory", "128MiB"])
            .args(listen)
            .args(["--journal", "64MiB", "--shards", "1", "--data-dir"])
            .arg(data.path())
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (send, receive) = mpsc::channel();
        thread::spawn(move || {
            let mut said = String::new();
            for line in lines.by_ref().map_while(Result::ok) {
                said.push_str(&line);
                said.push('\n');
                if let Some(rest) = line.strip_prefix("ready at ") {
                    let address = rest.split(' ').next().unwrap().to_string();
                    let _ = send.send(Some((address, std::mem::take(&mut said))));
                }
            }
            eprintln!("{said}");
            let _ = send.send(None);
        });
        match receive.recv_timeout(PATIENCE) {
            Ok(Some((address, first_words))) => Broker {
                child,
                address,
                first_words,
            },
            other => {
                let _ = child.kill();
                panic!("the broker is not ready: {other:?}");
            }
        }
    }

    /// Stops it in order; it must end well.
    pub fn stop(mut self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
    }

    /// Ends it on the spot.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Runs a command against it with some standard input.
    pub fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = sillon()
            .args(arguments)
            .args(["--bootstrap", &self.address])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_string();
        // Its output is read while it is written to; whether it reads all of its input is its own
        // affair.
        let writing = thread::spawn(move || {
            let _ = stdin.write_all(input.as_bytes());
        });
        let output = child.wait_with_output().unwrap();
        writing.join().unwrap();
        output
    }

    /// As [`Self::run`]; it must succeed. Returns what it printed.
    pub fn succeed(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {complaint}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// As [`Self::run`]; it must fail. Returns what it complains of.
    pub fn fail(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input);
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "{arguments:?}: {printed}");
        String::from_utf8(output.stderr).unwrap()
    }
}

/// A command that goes on until it is told to end. Killed when it is dropped.
pub struct Running {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reading: Option<JoinHandle<()>>,
}

impl Broker {
    /// Starts a command against the broker and reads along what it prints.
    pub fn begin(&self, arguments: &[&str]) -> Running {
        let mut child = sillon()
            .args(arguments)
            .args(["--bootstrap", &self.address])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (stdout, read) = (child.stdout.take().unwrap(), lines.clone());
        let reading = thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                read.lock().unwrap().push(line);
            }
        });
        Running {
            child,
            lines,
            reading: Some(reading),
        }
    }
}

impl Running {
    /// What it has printed so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Asks it to end, which it must do well; returns what it has printed.
    pub fn stop(mut self) -> Vec<String> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
        self.reading.take().unwrap().join().unwrap();
        self.lines()
    }

    /// Ends it on the spot; returns what it has printed.
    pub fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.reading.take().unwrap().join().unwrap();
        self.lines()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It fails when the command has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tries until it gives something, but not for ever.
pub fn eventually<R>(what: &str, mut attempt: impl FnMut() -> Option<R>) -> R {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(result) = attempt() {
            return result;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        thread::yield_now();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It fails when the broker has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end, with variables.
pub fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = sillon();
    command.args(arguments).envs(variables.iter().copied());
    command.output().unwrap()
}

/// Runs `sillon serve` with arguments that it must refuse; returns what it complains of.
pub fn refused_at_start(arguments: &[&str]) -> String {
    let output = sillon().arg("serve").args(arguments).output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

/// Runs `sillon bench` without a broker.
pub fn bench(arguments: &[String]) -> Output {
    let mut command = sillon();
    command.arg("bench").args(arguments).stdin(Stdio::null());
    command.output().unwrap()
}
