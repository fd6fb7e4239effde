"""The application behind every contestant: bench/tools' own."""

import socket
import sys
import time

from contestants import BACKEND
from processes import BINARIES, LOAD_CORE, end, spawn


def start_backend():
    backend = spawn({LOAD_CORE}, [BINARIES / "backend", f"127.0.0.1:{BACKEND}"])
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", BACKEND), 1).close()
            return backend
        except OSError:
            time.sleep(0.02)
    end(backend)
    sys.exit("the backend did not start")
