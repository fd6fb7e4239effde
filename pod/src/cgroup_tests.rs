//! Control groups as they look on hosts and in containers, made of plain files.

use super::*;

const V1: &str = "8:pids:/\n4:memory:/kubepods/pod1/box\n1:cpu,cpuacct:/kubepods/pod1/box\n0::/\n";
const V2: &str = "0::/kubepods/pod1/box\n";

/// A cgroup mount with the given files.
fn mount(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let root = std::env::temp_dir().join(format!("pod-cgroup-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&root);
    for (file, text) in files {
        let path = root.join(file);
        fs::create_dir_all(path.parent().expect("a file in a directory")).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

fn workers(number: usize) -> Option<NonZeroUsize> {
    NonZeroUsize::new(number)
}

#[test]
fn v1_on_a_host_reads_the_path_of_the_process() {
    let root = mount(
        "v1-host",
        &[
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            (
                "memory/kubepods/pod1/box/memory.limit_in_bytes",
                "10485760\n",
            ),
            ("cpu,cpuacct/kubepods/pod1/box/cpu.cfs_quota_us", "20000\n"),
            (
                "cpu,cpuacct/kubepods/pod1/box/cpu.cfs_period_us",
                "100000\n",
            ),
        ],
    );
    let groups = Cgroups::new(root, V1);
    assert_eq!(groups.memory_limit(), Some(10 << 20));
    assert_eq!(groups.cpu_quota(), workers(1));
}

#[test]
fn v1_in_a_container_reads_the_root_of_the_mount() {
    let root = mount(
        "v1-container",
        &[
            ("memory/memory.limit_in_bytes", "10485760\n"),
            ("cpu/cpu.cfs_quota_us", "150000\n"),
            ("cpu/cpu.cfs_period_us", "100000\n"),
        ],
    );
    let groups = Cgroups::new(root, V1);
    assert_eq!(groups.memory_limit(), Some(10 << 20));
    assert_eq!(groups.cpu_quota(), workers(2));
}

#[test]
fn v1_without_limits_has_none() {
    let root = mount(
        "v1-none",
        &[
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("cpu/cpu.cfs_quota_us", "-1\n"),
            ("cpu/cpu.cfs_period_us", "100000\n"),
        ],
    );
    let groups = Cgroups::new(root, V1);
    assert_eq!(groups.memory_limit(), None);
    assert_eq!(groups.cpu_quota(), None);
}

#[test]
fn v2_takes_the_smallest_limit_of_the_ancestors() {
    let root = mount(
        "v2-host",
        &[
            ("kubepods/memory.max", "max\n"),
            ("kubepods/pod1/memory.max", "8388608\n"),
            ("kubepods/pod1/box/memory.max", "10485760\n"),
            ("kubepods/pod1/cpu.max", "max 100000\n"),
            ("kubepods/pod1/box/cpu.max", "250000 100000\n"),
        ],
    );
    let groups = Cgroups::new(root, V2);
    assert_eq!(groups.memory_limit(), Some(8 << 20));
    assert_eq!(groups.cpu_quota(), workers(3));
}

#[test]
fn v2_in_a_container_with_its_own_name_space() {
    let root = mount(
        "v2-container",
        &[("memory.max", "10485760\n"), ("cpu.max", "20000 100000\n")],
    );
    let groups = Cgroups::new(root, "0::/\n");
    assert_eq!(groups.memory_limit(), Some(10 << 20));
    assert_eq!(groups.cpu_quota(), workers(1));
}

#[test]
fn a_path_above_the_name_space_is_read_as_its_root() {
    let root = mount("v2-above", &[("memory.max", "10485760\n")]);
    assert_eq!(
        Cgroups::new(root, "0::/../other\n").memory_limit(),
        Some(10 << 20)
    );
}

#[test]
fn nothing_mounted_is_no_limit() {
    let groups = Cgroups::new("/nonexistent", V1);
    assert_eq!(groups.memory_limit(), None);
    assert_eq!(groups.cpu_quota(), None);
    assert_eq!(Cgroups::new("/nonexistent", "").memory_limit(), None);
}

#[test]
fn allowed_cpus_are_counted() {
    assert_eq!(
        allowed_cpus("Name:\tx\nCpus_allowed_list:\t0-1,4\n"),
        workers(3)
    );
    assert_eq!(allowed_cpus("Cpus_allowed_list:\t7\n"), workers(1));
    assert_eq!(allowed_cpus("Cpus_allowed_list:\t\n"), None);
    assert_eq!(allowed_cpus(""), None);
}
