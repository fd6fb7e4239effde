"""Certificates that are large, whose comment is long."""

import subprocess
import tempfile
from pathlib import Path


def load_into(context, size):
    """Gives a TLS context a certificate of its own making, of `size` bytes and some hundred."""
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = Path(folder) / "own.pem", Path(folder) / "own.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=x", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:P-256", "-addext", "nsComment=" + "x" * size, "-keyout", key, "-out", certificate],
            check=True, stderr=subprocess.DEVNULL)
        context.load_cert_chain(certificate, key)
    return context
