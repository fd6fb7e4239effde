"""An application for what monolith does not have: uploads, downloads, echoes.

    backend.py PORT
"""

import asyncio
import sys


async def serve(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, path, _ = head[0].split()
            fields = {name.lower(): value for name, value in
                      (line.split(": ", 1) for line in head[1:] if line)}
            if fields.get("upgrade"):
                writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
                while data := await reader.read(4096):
                    writer.write(data)
                return
            body = await reader.readexactly(int(fields.get("content-length", 0)))
            answer = bytes(int(path.split("/")[2])) if method == "GET" else str(len(body)).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "0.0.0.0", int(sys.argv[1]))
    await server.serve_forever()


asyncio.run(main())
