//! What the figures were measured on.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

/// Processor, kernel, and the file system and device under `folder`, as JSON.
pub fn describe(folder: &Path) -> Value {
    let processor = field("/proc/cpuinfo", "model name").unwrap_or_else(unknown);
    // Not those that this thread may run on: it is pinned.
    let cores = read("/proc/cpuinfo").unwrap_or_default();
    let cores = cores
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let (file_system, device) = mount(folder);
    json!({
        "cpu": processor,
        "cores": cores,
        "kernel": read("/proc/sys/kernel/osrelease").unwrap_or_else(unknown),
        "file_system": file_system,
        "device": device,
        "device_write_cache": queue(&device, "write_cache"),
        "device_fua": queue(&device, "fua"),
        "load_average": read("/proc/loadavg").unwrap_or_else(unknown),
    })
}

fn unknown() -> String {
    "unknown".to_string()
}

fn read(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_string())
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_string())
}

/// Type and device of the file system that `folder` is on: the longest mount point that it
/// begins with.
fn mount(folder: &Path) -> (String, String) {
    let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let found = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (device, point, kind) = (words.next()?, words.next()?, words.next()?);
            folder
                .starts_with(point)
                .then_some((point.len(), kind, device))
        })
        .max_by_key(|(length, ..)| *length);
    found.map_or_else(
        || (unknown(), unknown()),
        |(_, kind, device)| (kind.to_string(), device.to_string()),
    )
}

fn queue(device: &str, attribute: &str) -> String {
    let name = device.rsplit('/').next().unwrap_or(device);
    let disk = name.trim_end_matches(|digit: char| digit.is_ascii_digit());
    [name, disk]
        .iter()
        .find_map(|name| read(&format!("/sys/block/{name}/queue/{attribute}")))
        .unwrap_or_else(unknown)
}
