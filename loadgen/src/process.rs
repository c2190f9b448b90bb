//! What the kernel says about a process and this machine.

use std::fs;

use crate::run_report::Machine;

/// A process's use of the machine so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Processor time of all its threads, user and system, in seconds.
    pub cpu_s: f64,
    /// Resident memory, in bytes.
    pub rss_bytes: u64,
}

impl Usage {
    /// Of a process on this machine; `None` when there is no such process.
    pub fn of(pid: u32) -> Option<Usage> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        parse(
            &stat,
            rustix::param::clock_ticks_per_second(),
            rustix::param::page_size() as u64,
        )
    }

    /// Of this process.
    pub fn own() -> Usage {
        Usage::of(std::process::id()).unwrap_or_default()
    }
}

/// Reads a line of `/proc/PID/stat`: after the name in parentheses, which may hold anything, user
/// and system time are the 12th and 13th field, resident pages the 22nd.
fn parse(stat: &str, ticks_per_second: u64, page_bytes: u64) -> Option<Usage> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let user: u64 = fields.nth(11)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let pages: u64 = fields.nth(8)?.parse().ok()?;
    Some(Usage {
        cpu_s: (user + system) as f64 / ticks_per_second as f64,
        rss_bytes: pages * page_bytes,
    })
}

/// This machine.
pub fn machine() -> Machine {
    let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let value = |line: &str| {
        line.split_once(':')
            .map(|(_, value)| value.trim().to_string())
    };
    let mut lines = cpu_info.lines();
    let name = lines.find(|line| line.starts_with("model name"));
    let cores = cpu_info
        .lines()
        .filter(|line| line.starts_with("processor"));
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory.lines().find(|line| line.starts_with("MemTotal:"));
    let memory_kb = memory.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().and_then(|load| load.parse().ok());
    Machine {
        cpu: name
            .and_then(value)
            .unwrap_or_else(|| "unknown".to_string()),
        cores: cores.count() as u32,
        memory_bytes: memory_kb.unwrap_or(0) * 1024,
        kernel: rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned(),
        load_average: load.unwrap_or(0.0),
    }
}

/// The cores that this process may use.
pub fn cores() -> Vec<usize> {
    match affinity::get_thread_affinity() {
        Ok(cores) if !cores.is_empty() => cores,
        _ => vec![0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_move_the_fields() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 900 0 0 0 250 50 0 0 20 0 3 0 100 9000 12 99";
        let usage = parse(stat, 100, 4096).unwrap();
        assert_eq!(usage.cpu_s, 3.0);
        assert_eq!(usage.rss_bytes, 12 * 4096);
        assert!(parse("7 (x) S 1", 100, 4096).is_none());
    }

    #[test]
    fn this_process_uses_memory() {
        assert!(Usage::own().rss_bytes > 0);
    }
}
