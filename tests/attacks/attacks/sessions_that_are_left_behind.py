"""Complete handshakes of TLS 1.2 and 1.3, one after another, each with a session that
could be resumed and never is."""

import ssl

from attack import Attack

ATTACK = Attack(after=True)


async def run(target):
    older = ssl.create_default_context()
    older.check_hostname, older.verify_mode = False, ssl.CERT_NONE
    older.maximum_version = ssl.TLSVersion.TLSv1_2

    async def shake(number):
        _, writer = await target.tls(tls=(None, older)[number % 2])
        writer.transport.abort()

    return f"{await target.repeat(32, shake)} sessions, 32 at a time"
