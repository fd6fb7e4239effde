//! The CPU and memory limits of the container, read from its cgroup.
//!
//! cgroup v1 and v2 are read, in a container (where `/sys/fs/cgroup` is the
//! container's own group) and on a host (where `/proc/self/cgroup` has the path). A
//! limit of an ancestor applies too, so the smallest one on the way to the root
//! counts.
//!
//! A pod can be resized in place (stable since Kubernetes 1.35): [`Followed`] reads
//! the limits again.

use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// For "no limit" cgroup v1 has the largest multiple of the page size that fits an
/// `i64`; a value this large is no limit.
const UNLIMITED: u64 = 1 << 60;
/// How often [`Followed::changed`] reads the limits.
const INTERVAL: Duration = Duration::from_secs(2);

/// How many threads to start: the CPU quota rounded up, at most the CPUs that the
/// process may run on, and at least one.
pub fn cpu_workers() -> NonZeroUsize {
    let allowed = allowed_cpus(&fs::read_to_string("/proc/self/status").unwrap_or_default())
        .or_else(|| std::thread::available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN);
    match Cgroups::of_this_process().follow().limits().cpus {
        Some(quota) => quota.min(allowed),
        None => allowed,
    }
}

/// The memory limit in bytes, or `None` where there is none.
pub fn memory_limit() -> Option<u64> {
    Cgroups::of_this_process().follow().limits().memory
}

/// The limits of a process, from all of its groups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory in bytes; None without a limit.
    pub memory: Option<u64>,
    /// The CPU quota in CPUs, rounded up; None without a quota. It does not consider
    /// the CPUs that the process may run on.
    pub cpus: Option<NonZeroUsize>,
}

/// The limits of a process while it runs. The files stay open, so that they can be
/// read when no descriptor is left.
#[derive(Debug)]
pub struct Followed {
    memory: Vec<Reading>,
    /// `cpu.max` alone, or `cpu.cfs_quota_us` and `cpu.cfs_period_us`.
    cpu: Vec<(Reading, Option<Reading>)>,
    limits: Limits,
}

/// The cgroup mount, and the groups that a process is in.
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

    /// Opens the files with the limits, and reads them once.
    pub fn follow(&self) -> Followed {
        let v1 = self.files("memory", "memory.limit_in_bytes");
        // Beyond `memory.high` a group is throttled: it is a limit, too.
        let v2 = ["memory.max", "memory.high"];
        let v2 = v2.into_iter().flat_map(|name| self.files("", name));
        let memory = v1.into_iter().chain(v2);
        let v1 = self.levels("cpu").into_iter().filter_map(|dir| {
            let period = Reading::open(&dir.join("cpu.cfs_period_us"))?;
            Some((Reading::open(&dir.join("cpu.cfs_quota_us"))?, Some(period)))
        });
        let v2 = self.files("", "cpu.max").into_iter();
        let mut followed = Followed {
            memory: memory.collect(),
            cpu: v1.chain(v2.map(|quota| (quota, None))).collect(),
            limits: Limits::default(),
        };
        followed.look();
        followed
    }

    /// The files called `name` on the way to the root.
    fn files(&self, controller: &str, name: &str) -> Vec<Reading> {
        let levels = self.levels(controller).into_iter();
        levels
            .filter_map(|dir| Reading::open(&dir.join(name)))
            .collect()
    }

    /// The directories of a v1 controller, or of v2 for the empty name, from the
    /// process's own group up to the root of the mount. Some may not exist: in a
    /// container without a cgroup namespace only the root does, which is the
    /// container's own group.
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

impl Followed {
    /// The limits as last read.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Waits until the limits have changed, and returns the new ones. Reads them
    /// every two seconds. Cancel safe.
    pub async fn changed(&mut self) -> Limits {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let before = self.limits;
            if self.look() != before {
                return self.limits;
            }
        }
    }

    /// Reads the files again: in a container one for memory, and one or two for CPU.
    /// A file that cannot be read keeps its last value.
    pub fn look(&mut self) -> Limits {
        let memory = self.memory.iter_mut().filter_map(Reading::number);
        let cpus = self.cpu.iter_mut().filter_map(|(quota, period)| {
            let (quota, period) = match period {
                Some(period) => (quota.number()?, period.number()?),
                None => {
                    let (quota, period) = quota.text().split_once(' ')?;
                    (quota.parse().ok()?, period.parse().ok()?)
                }
            };
            let limited = quota > 0 && period > 0;
            limited.then(|| usize::try_from(quota.div_ceil(period)).ok())?
        });
        self.limits = Limits {
            memory: memory.filter(|&bytes| bytes < UNLIMITED).min(),
            cpus: cpus.filter_map(NonZeroUsize::new).min(),
        };
        self.limits
    }
}

/// A small file that is read repeatedly.
#[derive(Debug)]
struct Reading {
    file: File,
    last: String,
}

impl Reading {
    /// None if there is no such file.
    fn open(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        let last = String::new();
        Some(Self { file, last })
    }

    fn text(&mut self) -> &str {
        // At most two numbers of 20 digits.
        let mut buffer = [0; 64];
        let read = self.file.read_at(&mut buffer, 0);
        let text = read.map(|size| std::str::from_utf8(&buffer[..size]));
        if let Ok(Ok(text)) = text
            && !text.is_empty()
        {
            text.trim().clone_into(&mut self.last);
        }
        &self.last
    }

    /// A non-negative number; None for `max` and `-1`, which mean "no limit".
    fn number(&mut self) -> Option<u64> {
        self.text().parse().ok()
    }
}

/// Counts `Cpus_allowed_list` of proc(5). The standard library's
/// `available_parallelism` rounds the quota *down*, to 1 CPU for a quota of 1.5.
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
