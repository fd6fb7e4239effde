"""Handshakes with a certificate of the client's own making, of 28 KB; the connections then stay."""

import large_certificate
from attack import Attack, context, still_open
from server_configurations import TLS

ATTACK = Attack(configurations=("client_certificates",))
CONNECTIONS = 1000


async def run(target):
    tls = large_certificate.load_into(context("http/1.1"), 28_000)
    opened = await target.many(CONNECTIONS, lambda _: target.connect(TLS, tls=tls))
    await target.wait()
    return f"{len(opened)} connections with a certificate of 28 KB, {still_open(opened)} stayed"
