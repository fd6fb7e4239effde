//! Facts about this process, from `/proc` (proc(5)).

use std::fs;
use std::sync::OnceLock;

/// Clock ticks per second in `/proc` (USER_HZ): 100 on all architectures but Alpha
/// and IA-64.
const TICKS: f64 = 100.0;

/// This process at one moment; `None` is what cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Facts {
    /// Start time, in seconds since 1970.
    pub started: Option<f64>,
    /// User and system time, in seconds.
    pub cpu_seconds: Option<f64>,
    /// Memory in use, in bytes.
    pub resident: Option<u64>,
    /// Open file descriptors.
    pub descriptors: Option<u64>,
    /// The soft limit on open file descriptors.
    pub most_descriptors: Option<u64>,
}

/// Reads the facts.
pub fn facts() -> Facts {
    let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    let stat = read("stat");
    // Computed once, since the clock may be set meanwhile.
    static STARTED: OnceLock<Option<f64>> = OnceLock::new();
    let started = *STARTED.get_or_init(|| {
        let boot = boot_time(&fs::read_to_string("/proc/stat").unwrap_or_default())?;
        Some(boot + field(&stat, 22)? as f64 / TICKS)
    });
    let descriptors = fs::read_dir("/proc/self/fd").ok();
    Facts {
        started,
        cpu_seconds: cpu_seconds(&stat),
        resident: resident(&read("status")),
        // Without the descriptor of this directory.
        descriptors: descriptors.map(|all| (all.count() as u64).saturating_sub(1)),
        most_descriptors: most_descriptors(&read("limits")),
    }
}

/// A numeric field of `/proc/self/stat`, from 1 as in proc(5). The second field is
/// a name in parentheses and may contain anything.
fn field(stat: &str, number: usize) -> Option<u64> {
    let rest = &stat[stat.rfind(')')? + 1..];
    rest.split_ascii_whitespace().nth(number - 3)?.parse().ok()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((field(stat, 14)? + field(stat, 15)?) as f64 / TICKS)
}

fn boot_time(stat: &str) -> Option<f64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

fn resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

fn most_descriptors(limits: &str) -> Option<u64> {
    let mut lines = limits.lines();
    let line = lines.find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 3 0 4200 1 1";

    #[test]
    fn the_name_of_the_program_does_not_shift_the_fields() {
        assert_eq!(field(STAT, 22), Some(4200));
        assert_eq!(cpu_seconds(STAT), Some(2.0));
        assert_eq!(cpu_seconds("7 (a) S 1"), None);
        assert_eq!(cpu_seconds(""), None);
    }

    #[test]
    fn sizes_and_limits_are_parsed() {
        assert_eq!(resident("VmHWM:\t 9 kB\nVmRSS:\t 12 kB\n"), Some(12_288));
        let limits = "Limit Soft Hard Units\nMax open files            1024  4096  files\n";
        assert_eq!(most_descriptors(limits), Some(1024));
        assert_eq!(most_descriptors("Max open files unlimited unlimited"), None);
        assert_eq!(
            boot_time("cpu 1\nbtime 1700000000\n"),
            Some(1_700_000_000.0)
        );
    }

    #[test]
    fn facts_of_this_process_are_plausible() {
        let facts = facts();
        assert!(facts.started.is_some_and(|began| began > 1e9));
        assert!(facts.resident.is_some_and(|bytes| bytes > 100_000));
        assert!(facts.descriptors.is_some_and(|count| count >= 3));
    }
}
