"""A list of revoked certificates of 600 KB, which is permitted with a limit of 10 MiB: it is read at
the start and again when it changes, for several servers."""

import os
import ssl
import subprocess
import urllib.error
import urllib.request

import pytest

from conftest import own_address, wait_for
from limited import MIB, cgroup, tls_proxy

REVOKED = 20_000
CONFIGURATION = """
[ca]
default_ca = own
[own]
database = index
crlnumber = number
certificate = ca.pem
private_key = ca.key
default_md = sha256
default_crl_days = 2
"""


@pytest.fixture
def group():
    with cgroup("large-revocation-list", 10 * MIB) as made:
        yield made


def openssl(folder, words):
    subprocess.run(["openssl", *words.split()], cwd=folder, check=True, capture_output=True)


def write_list(folder):
    """A list with a new number."""
    openssl(folder, "ca -config ca.conf -gencrl -out new.crl")
    os.rename(folder / "new.crl", folder / "list.crl")


@pytest.fixture
def server(group, tmp_path):
    address = own_address()
    openssl(tmp_path, "req -x509 -nodes -days 2 -subj /CN=ca -newkey ec -pkeyopt ec_paramgen_curve:P-256 "
                      "-keyout ca.key -out ca.pem")
    (tmp_path / "ca.conf").write_text(CONFIGURATION)
    (tmp_path / "number").write_text("01\n")
    lines = (f"R\t360101000000Z\t260101000000Z\t{0x100000 + number:X}\tunknown\t/CN=x\n" for number in range(REVOKED))
    (tmp_path / "index").write_text("".join(lines))
    write_list(tmp_path)
    servers = "".join(f"server {{ listen {address}:8443 ssl; server_name s{number}; return 200 ok; }}"
                      for number in range(3))
    configuration = f"""error_log {tmp_path}/error.log notice; http {{ access_log off;
        ssl_certificate ca.pem; ssl_certificate_key ca.key;
        ssl_verify_client optional; ssl_client_certificate ca.pem; ssl_crl list.crl; {servers} }}"""
    with tls_proxy(group, tmp_path, configuration):
        yield f"https://{address}:8443"


def is_served(address):
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(address, timeout=60, context=tls) as response:
            return response.read() == b"ok"
    except (OSError, urllib.error.URLError):
        return False


def test_it_is_read_again_and_again(group, server, tmp_path):
    wait_for(lambda: is_served(server), "tls-proxy", 60)
    for count in range(1, 4):
        write_list(tmp_path)
        log = tmp_path / "error.log"
        wait_for(lambda: log.read_text().count("configuration reloaded") == count, f"reload {count}", 60)
        assert is_served(server)
    assert group.kills() == 0
