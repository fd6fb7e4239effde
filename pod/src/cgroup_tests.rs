//! cgroup mounts of hosts and containers, made of plain files.

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
    assert_eq!(groups.follow().limits().memory, Some(10 << 20));
    assert_eq!(groups.follow().limits().cpus, workers(1));
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
    assert_eq!(groups.follow().limits().memory, Some(10 << 20));
    assert_eq!(groups.follow().limits().cpus, workers(2));
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
    assert_eq!(groups.follow().limits().memory, None);
    assert_eq!(groups.follow().limits().cpus, None);
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
    assert_eq!(groups.follow().limits().memory, Some(8 << 20));
    assert_eq!(groups.follow().limits().cpus, workers(3));
}

#[test]
fn v2_in_a_container_with_its_own_namespace() {
    let root = mount(
        "v2-container",
        &[("memory.max", "10485760\n"), ("cpu.max", "20000 100000\n")],
    );
    let groups = Cgroups::new(root, "0::/\n");
    assert_eq!(groups.follow().limits().memory, Some(10 << 20));
    assert_eq!(groups.follow().limits().cpus, workers(1));
}

/// Beyond `memory.high` the kernel throttles a group until it does little more than
/// reclaim memory; with MemoryQoS Kubernetes sets it below the limit.
#[test]
fn v2_memory_high_is_a_limit() {
    let root = mount(
        "v2-high",
        &[("memory.max", "10485760\n"), ("memory.high", "9437184\n")],
    );
    let mut followed = Cgroups::new(&root, "0::/\n").follow();
    assert_eq!(followed.limits().memory, Some(9 << 20));
    let none = [("memory.high", "max\n")];
    let now = becomes(&mut followed, &root, &none);
    assert_eq!(now.memory, Some(10 << 20));
}

/// systemd's hybrid layout: v2 has no controller, or those that v1 does not have.
#[test]
fn a_hybrid_host_has_each_controller_in_one_of_both_versions() {
    let v1 = mount(
        "hybrid-v1",
        &[
            ("unified/kubepods/pod1/box/cgroup.procs", "1\n"),
            ("memory/kubepods/pod1/memory.limit_in_bytes", "8388608\n"),
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
    let membership = format!("{V1}0::/kubepods/pod1/box\n");
    let followed = Cgroups::new(v1, &membership).follow();
    assert_eq!(followed.limits(), limits(Some(8 << 20), 1));
    let both = mount(
        "hybrid-both",
        &[
            ("unified/kubepods/pod1/box/memory.max", "10485760\n"),
            ("unified/kubepods/pod1/memory.max", "max\n"),
            ("cpu/kubepods/pod1/box/cpu.cfs_quota_us", "150000\n"),
            ("cpu/kubepods/pod1/box/cpu.cfs_period_us", "100000\n"),
        ],
    );
    let membership = "2:cpu:/kubepods/pod1/box\n0::/kubepods/pod1/box\n";
    let followed = Cgroups::new(both, membership).follow();
    assert_eq!(followed.limits(), limits(Some(10 << 20), 2));
}

#[test]
fn a_path_above_the_namespace_is_read_as_its_root() {
    let root = mount("v2-above", &[("memory.max", "10485760\n")]);
    assert_eq!(
        Cgroups::new(root, "0::/../other\n")
            .follow()
            .limits()
            .memory,
        Some(10 << 20)
    );
}

#[test]
fn nothing_mounted_is_no_limit() {
    let groups = Cgroups::new("/nonexistent", V1);
    assert_eq!(groups.follow().limits().memory, None);
    assert_eq!(groups.follow().limits().cpus, None);
    let none = Cgroups::new("/nonexistent", "").follow();
    assert_eq!(none.limits(), Limits::default());
}

/// The limits after files were written.
fn becomes(followed: &mut Followed, root: &Path, files: &[(&str, &str)]) -> Limits {
    for (file, text) in files {
        fs::write(root.join(file), text).unwrap();
    }
    followed.look()
}

fn limits(memory: Option<u64>, cpus: usize) -> Limits {
    Limits {
        memory,
        cpus: workers(cpus),
    }
}

#[test]
fn limits_of_v2_are_followed_up_and_down() {
    let root = mount(
        "v2-follow",
        &[("memory.max", "33554432\n"), ("cpu.max", "50000 100000\n")],
    );
    let mut followed = Cgroups::new(&root, "0::/\n").follow();
    assert_eq!(followed.limits(), limits(Some(32 << 20), 1));
    let up = [
        ("memory.max", "134217728\n"),
        ("cpu.max", "150000 100000\n"),
    ];
    assert_eq!(
        becomes(&mut followed, &root, &up),
        limits(Some(128 << 20), 2)
    );
    let none = [("memory.max", "max\n"), ("cpu.max", "max 100000\n")];
    assert_eq!(becomes(&mut followed, &root, &none), limits(None, 0));
    let down = [("memory.max", "8388608\n")];
    assert_eq!(
        becomes(&mut followed, &root, &down),
        limits(Some(8 << 20), 0)
    );
}

#[test]
fn a_limit_of_an_ancestor_is_followed_too() {
    let root = mount(
        "v2-follow-host",
        &[
            ("kubepods/pod1/memory.max", "max\n"),
            ("kubepods/pod1/box/memory.max", "max\n"),
            ("kubepods/pod1/cpu.max", "max 100000\n"),
            ("kubepods/pod1/box/cpu.max", "max 100000\n"),
        ],
    );
    let mut followed = Cgroups::new(&root, V2).follow();
    assert_eq!(followed.limits(), Limits::default());
    let of_the_pod = [
        ("kubepods/pod1/memory.max", "1048576\n"),
        ("kubepods/pod1/cpu.max", "110000 100000\n"),
    ];
    let now = becomes(&mut followed, &root, &of_the_pod);
    assert_eq!(now, limits(Some(1 << 20), 2));
}

#[test]
fn an_empty_file_is_no_change() {
    let root = mount("v2-gone", &[("memory.max", "1048576\n")]);
    let mut followed = Cgroups::new(&root, "0::/\n").follow();
    assert_eq!(
        becomes(&mut followed, &root, &[("memory.max", "")]),
        limits(Some(1 << 20), 0)
    );
}

/// A real group, on machines with cgroup v1 and as root: its limit is changed.
#[test]
fn limits_of_a_real_v1_group_are_followed() {
    let mount = Path::new("/sys/fs/cgroup");
    let name = format!("pod-follow-{}", std::process::id());
    let group = mount.join("memory").join(&name);
    if fs::create_dir(&group).is_err() {
        return;
    }
    let set = |bytes: u64| fs::write(group.join("memory.limit_in_bytes"), bytes.to_string());
    let seen = (|| {
        set(32 << 20)?;
        let mut followed = Cgroups::new(mount, format!("4:memory:/{name}\n")).follow();
        let first = followed.limits().memory;
        set(128 << 20)?;
        let up = followed.look().memory;
        set(8 << 20)?;
        Ok::<_, std::io::Error>([first, up, followed.look().memory])
    })();
    fs::remove_dir(&group).unwrap();
    assert_eq!(seen.unwrap(), [32, 128, 8].map(|mib| Some(mib << 20)));
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
