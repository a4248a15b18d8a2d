//! What the numbers were measured on.

use std::{fs, thread};

/// One line about the machine; what can't be learned is called unknown.
pub(crate) fn describe() -> String {
    let cores = thread::available_parallelism().map_or("unknown".into(), |n| n.to_string());
    let memory = field("/proc/meminfo", "MemTotal")
        .and_then(|text| text.strip_suffix(" kB")?.parse::<u64>().ok())
        .map_or("unknown".into(), |kib| {
            format!("{} GiB", (kib + (1 << 19)) >> 20)
        });
    let processor = field("/proc/cpuinfo", "model name").unwrap_or("unknown".into());
    format!("Machine: {cores} cores, {memory} of memory, processor {processor}.")
}

/// The first value of `name` in a file of `name: value` lines.
fn field(path: &str, name: &str) -> Option<String> {
    fs::read_to_string(path).ok()?.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}
