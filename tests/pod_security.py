"""The Pod Security Standard "restricted" of Kubernetes 1.25 and later, which includes
"baseline", as far as it speaks of Linux.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
           "projected", "secret"}
# The safe sysctls of every supported version.
SYSCTLS = {"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
           "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range"}
SECCOMP = {"RuntimeDefault", "Localhost"}
SELINUX_TYPES = {None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}


def violations(spec):
    """Why a pod is rejected in a namespace that enforces "restricted"."""
    found = [f"{name} is set" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    for volume in spec.get("volumes", []):
        found += [f"volume {volume['name']} is of the kind {kind}"
                  for kind in volume if kind != "name" and kind not in VOLUMES]
    pod = spec.get("securityContext", {})
    found += [f"sysctl {each['name']} is not safe" for each in pod.get("sysctls", [])
              if each["name"] not in SYSCTLS]
    found += of_any_context("pod", pod)
    for group in CONTAINERS:
        for container in spec.get(group, []):
            found += of_container(container, pod)
    return found


def of_any_context(who, context):
    found = []
    if context.get("runAsUser") == 0:
        found.append(f"{who}: runAsUser is 0")
    linux = context.get("seLinuxOptions", {})
    if linux.get("type") not in SELINUX_TYPES or linux.get("user") or linux.get("role"):
        found.append(f"{who}: seLinuxOptions")
    if context.get("appArmorProfile", {}).get("type") == "Unconfined":
        found.append(f"{who}: appArmorProfile is Unconfined")
    return found


def of_container(container, pod):
    who, own = container["name"], container.get("securityContext", {})
    found = of_any_context(who, own)

    def inherited(name):
        return own.get(name, pod.get(name))

    if own.get("privileged"):
        found.append(f"{who}: privileged")
    if own.get("allowPrivilegeEscalation") is not False:
        found.append(f"{who}: allowPrivilegeEscalation is not false")
    if inherited("runAsNonRoot") is not True:
        found.append(f"{who}: runAsNonRoot is not true")
    if (inherited("seccompProfile") or {}).get("type") not in SECCOMP:
        found.append(f"{who}: seccompProfile")
    if own.get("procMount", "Default") != "Default":
        found.append(f"{who}: procMount")
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []):
        found.append(f"{who}: not all capabilities are dropped")
    found += [f"{who}: capability {name} is added" for name in capabilities.get("add", [])
              if name != "NET_BIND_SERVICE"]
    found += [f"{who}: hostPort" for port in container.get("ports", []) if port.get("hostPort")]
    # Since 1.34 nothing that the kubelet calls may be elsewhere.
    hooks = [*container.get("lifecycle", {}).values(),
             *(container[name] for name in ("startupProbe", "livenessProbe", "readinessProbe") if name in container)]
    found += [f"{who}: a probe or hook names a host" for hook in hooks for kind in ("httpGet", "tcpSocket")
              if hook.get(kind, {}).get("host")]
    return found
