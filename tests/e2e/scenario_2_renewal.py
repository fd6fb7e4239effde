"""New and invalid files in the volumes, while connections stay open."""

import re
import ssl
import time

from conftest import REFUSED
from fixtures import no_pods_left, stand, tell  # noqa: F401

# Seconds until a renewed certificate is served.
IN_FORCE = 2
# By then an invalid file has been rejected, too.
LOOKED_AT = 3
KINDS = ("kept", "idle", "http2")


def served(pod):
    """The certificate that a new connection to the pod gets, as PEM."""
    return ssl.get_server_certificate((pod.address, 8443), timeout=5).strip()


def begin(stand):
    fleet = stand.fleet(2)
    traffic = stand.traffic(*KINDS)
    time.sleep(3)
    return fleet.pods, traffic, traffic.total("connections")


def judge(name, traffic, connections, *figures):
    traffic.stop()
    tell(name, traffic.line(), *figures)
    assert traffic.total("failed") == 0, traffic.reasons()
    assert traffic.total("connections") == connections, "connections were not kept"
    assert traffic.total("closed_idle") == traffic.total("told_to_close") == 0


def errors(pod):
    return [line for line in pod.logs("tls-proxy").splitlines() if re.search(r" \[(error|emerg|crit|alert)\] ", line)]


def test_a_renewed_certificate_is_served_within_2_s_and_no_connection_ends(stand):
    pods, traffic, connections = begin(stand)
    certificate, written = stand.renew_certificate()
    taken = {}
    while len(taken) < len(pods) and time.monotonic() < written + 10:
        for pod in pods:
            if pod not in taken and served(pod) == certificate.decode().strip():
                taken[pod] = time.monotonic() - written
    time.sleep(3)
    judge("renewed certificate", traffic, connections,
          f"in force after {', '.join(f'{seconds:.1f} s' for seconds in taken.values())}")
    assert len(taken) == len(pods) and max(taken.values()) < IN_FORCE


def counted(pods):
    return [pod.metric("tls_proxy_config_reloads_total", result="failure") for pod in pods]


def break_and_mend(stand, name, volume, good, broken):
    """Each pod logs a reason and a verdict, and counts one failure; then the valid files
    take effect, and no connection was closed."""
    pods, traffic, connections = begin(stand)
    before = [served(pod) for pod in pods]
    try:
        stand.volumes[volume].write({**good, **broken})
        time.sleep(LOOKED_AT)
        during, said, counts = [served(pod) for pod in pods], [errors(pod) for pod in pods], counted(pods)
    finally:
        stand.volumes[volume].write(good)
    time.sleep(LOOKED_AT)
    judge(name, traffic, connections, f"reloads refused: {counts}", f"log: {said[0][0]}")
    assert during == before == [served(pod) for pod in pods]
    for lines in said:
        assert len(lines) == 2 and lines[1].endswith(REFUSED), lines
    assert counts == counted(pods) == [1] * len(pods)
    assert all(pod.metric("tls_proxy_config_last_reload_successful") for pod in pods)


def test_a_broken_certificate_changes_nothing_but_a_line_and_a_count(stand):
    break_and_mend(stand, "broken certificate", "tls", stand.pair(),
                   {"tls.crt": b"-----BEGIN CERTIFICATE-----\nnonsense\n"})


def test_a_key_of_another_certificate_changes_nothing_but_a_line_and_a_count(stand):
    good = stand.pair()
    stand.renew_certificate()
    other = stand.pair()
    stand.volumes["tls"].write(good)
    break_and_mend(stand, "key of another certificate", "tls", good, {"tls.key": other["tls.key"]})


def test_a_broken_configuration_changes_nothing_but_a_line_and_a_count(stand):
    good = stand.configuration()
    break_and_mend(stand, "broken configuration", "proxy-conf", {"proxy.conf": good},
                   {"proxy.conf": good.replace(b"http2 on;", b"http2 maybe;")})
