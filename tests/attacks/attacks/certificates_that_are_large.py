"""Handshakes with a certificate of the client's own making, of 28 KB; the connections then stay."""

import ssl
import subprocess
import tempfile
from pathlib import Path

from attack import Attack, still_open
from server_configurations import TLS

ATTACK = Attack(configurations=("client_certificates",))
CONNECTIONS = 1000


def with_certificate():
    """A TLS context with a certificate whose comment is long."""
    made = ssl.create_default_context()
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    made.set_alpn_protocols(["http/1.1"])
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = Path(folder) / "own.pem", Path(folder) / "own.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=x", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:P-256", "-addext", "nsComment=" + "x" * 28_000, "-keyout", key, "-out", certificate],
            check=True, stderr=subprocess.DEVNULL)
        made.load_cert_chain(certificate, key)
    return made


async def run(target):
    tls = with_certificate()
    opened = await target.many(CONNECTIONS, lambda _: target.connect(TLS, tls=tls))
    await target.wait()
    return f"{len(opened)} connections with a certificate of 28 KB, {still_open(opened)} stayed"
