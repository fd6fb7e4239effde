"""40 slow requests with a limit of 64 open files (`ulimit -n 64`): a client should be
accepted only if its upstream connection can be opened, too."""

from attack import Attack, Outcome

# All that may be open is in honest use: new clients have to wait.
ATTACK = Attack(files=64, answers=False, nginx=False)
CLIENTS = 40


async def run(target):
    statuses = {}

    async def ask(_):
        reader, writer = await target.tls()
        try:
            writer.write(b"GET /late HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            status = head.split()[1].decode()
            statuses[status] = statuses.get(status, 0) + 1
        finally:
            writer.transport.abort()

    await target.repeat(CLIENTS, ask)
    failed = sum(statuses.values()) - statuses.get("200", 0)
    return Outcome(f"{CLIENTS} clients: {statuses}", f"{failed} requests failed" if failed else None)
