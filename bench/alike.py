"""Checks that all contestants respond alike, before anything is measured."""

from processes import run
from table import BASELINE

HEADER = "x-served-by: bench"


def check(contestant):
    """Checks responses over HTTP/1.1 and HTTP/2, on both ports."""
    contestant.start()
    for port in (contestant.p256, contestant.rsa):
        for version in ("1.1", "2"):
            url = f"https://127.0.0.1:{port}/"
            answer = run(["curl", "-ski", f"--http{version}", "-w", "\n%{http_version}", url])
            head, _, rest = answer.partition("\n\n")
            named = contestant.name == BASELINE or HEADER in head.lower()
            if " 200" not in head.splitlines()[0] or rest != f"ok\n{version}" or not named:
                raise SystemExit(f"{contestant.name} answers {url} over HTTP/{version} with:\n{answer}")
    contestant.stop()
