"""Clients that request 20 MB from the application and read next to nothing of it."""

from attack import Attack

ATTACK = Attack(short=("10Mi", "32Mi"))
CONNECTIONS = 1500


async def run(target):
    opened = await target.slow_readers(CONNECTIONS)
    return f"{len(opened)} connections, a response of 20 MB waiting on each"
