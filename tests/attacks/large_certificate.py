"""Certificates that are large, whose comment is long."""

import subprocess
import tempfile
from pathlib import Path


def make(folder, size):
    """A certificate of its own making, of `size` bytes and some hundred, and its key."""
    certificate, key = folder / "own.pem", folder / "own.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=x", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-addext", "nsComment=" + "x" * size, "-keyout", key, "-out", certificate],
        check=True, stderr=subprocess.DEVNULL)
    return certificate, key


def load_into(context, size):
    """Gives such a certificate to a TLS context."""
    with tempfile.TemporaryDirectory() as folder:
        context.load_cert_chain(*make(Path(folder), size))
    return context
