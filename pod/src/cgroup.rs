//! The CPU and memory the container was given, read from the control groups.
//!
//! Both versions of cgroups are read, from inside a container (where
//! `/sys/fs/cgroup` is the container's own) and on a host (where
//! `/proc/self/cgroup` tells the path). A limit of an ancestor limits the
//! descendant too, so the smallest on the way to the root is the one that
//! counts.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Component, Path, PathBuf};

/// cgroup v1 has no word for "no limit" and writes the largest multiple of a
/// page that fits an `i64`; whatever is this large limits nothing.
const UNLIMITED: u64 = 1 << 60;

/// How many threads are worth having: the CPU quota rounded up, no more than
/// the CPUs the process may run on, and at least one.
pub fn cpu_workers() -> NonZeroUsize {
    let allowed = allowed_cpus(&fs::read_to_string("/proc/self/status").unwrap_or_default())
        .or_else(|| std::thread::available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN);
    match Cgroups::of_this_process().cpu_quota() {
        Some(quota) => quota.min(allowed),
        None => allowed,
    }
}

/// The memory limit in bytes, or `None` where there is none.
pub fn memory_limit() -> Option<u64> {
    Cgroups::of_this_process().memory_limit()
}

/// The mounted control groups and this process's place in them.
#[derive(Debug, Clone)]
pub struct Cgroups {
    mount: PathBuf,
    membership: String,
}

impl Cgroups {
    /// The groups of the calling process.
    pub fn of_this_process() -> Self {
        let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::new("/sys/fs/cgroup", membership)
    }

    /// The groups mounted at `mount`, for a process whose `/proc/self/cgroup`
    /// (cgroups(7)) reads `membership`.
    pub fn new(mount: impl Into<PathBuf>, membership: impl Into<String>) -> Self {
        Self {
            mount: mount.into(),
            membership: membership.into(),
        }
    }

    /// The smallest memory limit in bytes on the way to the root.
    pub fn memory_limit(&self) -> Option<u64> {
        let v1 = self
            .levels("memory")
            .into_iter()
            .map(|dir| dir.join("memory.limit_in_bytes"));
        let v2 = self
            .levels("")
            .into_iter()
            .map(|dir| dir.join("memory.max"));
        v1.chain(v2)
            .filter_map(|file| read_number(&file))
            .filter(|&bytes| bytes < UNLIMITED)
            .min()
    }

    /// The smallest CPU quota on the way to the root, in CPUs rounded up.
    pub fn cpu_quota(&self) -> Option<NonZeroUsize> {
        let v1 = self.levels("cpu").into_iter().filter_map(|dir| {
            let quota = read_number(&dir.join("cpu.cfs_quota_us"))?;
            Some((quota, read_number(&dir.join("cpu.cfs_period_us"))?))
        });
        let v2 = self.levels("").into_iter().filter_map(|dir| {
            let text = fs::read_to_string(dir.join("cpu.max")).ok()?;
            let (quota, period) = text.trim().split_once(' ')?;
            Some((quota.parse().ok()?, period.parse().ok()?))
        });
        v1.chain(v2)
            .filter(|&(quota, period): &(u64, u64)| quota > 0 && period > 0)
            .filter_map(|(quota, period)| usize::try_from(quota.div_ceil(period)).ok())
            .filter_map(NonZeroUsize::new)
            .min()
    }

    /// The directories of a v1 controller, or of v2 for the empty name, from
    /// the process's own group up to the root of the mount. A path that is not
    /// there is left out: inside a container without a cgroup name space, only
    /// the root is, and it is the container's own group.
    fn levels(&self, controller: &str) -> Vec<PathBuf> {
        let Some((names, path)) = self.membership(controller) else {
            return Vec::new();
        };
        let roots: &[&str] = if controller.is_empty() {
            &["", "unified"]
        } else {
            &[names, controller]
        };
        let mut levels = Vec::new();
        for root in roots.iter().map(|name| self.mount.join(name)) {
            let mut here = root.clone();
            here.extend(
                Path::new(path)
                    .components()
                    .filter(|c| matches!(c, Component::Normal(_))),
            );
            levels.extend(
                here.ancestors()
                    .take_while(|dir| dir.starts_with(&root))
                    .map(PathBuf::from),
            );
        }
        levels
    }

    /// The line `id:controllers:path` that lists `controller`.
    fn membership(&self, controller: &str) -> Option<(&str, &str)> {
        self.membership.lines().find_map(|line| {
            let (names, path) = line.split_once(':')?.1.split_once(':')?;
            names
                .split(',')
                .any(|name| name == controller)
                .then_some((names, path))
        })
    }
}

/// A non-negative number; `max` and `-1`, which mean "no limit", are `None`.
fn read_number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// Counts `Cpus_allowed_list` of proc(5). The standard library's
/// `available_parallelism` rounds the quota *down* and would hide half a CPU.
fn allowed_cpus(status: &str) -> Option<NonZeroUsize> {
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let mut count = 0;
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        count += last.checked_sub(first)? + 1;
    }
    NonZeroUsize::new(count)
}

#[cfg(test)]
#[path = "cgroup_tests.rs"]
mod tests;
