"""1,200 slow readers without a limit that would stop them; then they close, and their
memory should be freed."""

from attack import Attack

ATTACK = Attack(
    configurations=("static", "deployments"), short=("1Gi",), memory=("1Gi",), after=True
)
CONNECTIONS = 1200


async def run(target):
    opened = await target.slow_readers(CONNECTIONS)
    return f"{len(opened)} connections, a large response waiting on each"
