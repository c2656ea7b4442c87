"""A small HTTP service on asyncio, standard library only. It knows nothing of being replaced: SIGTERM ends it."""

import asyncio
import os
import urllib.parse

VERSION = os.environ.get("VERSION", "1.0.0")


async def answer(target):
    url = urllib.parse.urlsplit(target)
    if url.path == "/healthz":
        return 200, "ok\n"
    if url.path == "/slow":
        ms = int(urllib.parse.parse_qs(url.query).get("ms", ["0"])[0])
        await asyncio.sleep(ms / 1000)
    return 200, f"python {VERSION}\n"


async def serve(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, target, _ = head[0].split(" ", 2)
            headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
            await reader.readexactly(int(headers.get("content-length", 0)))
            status, text = await answer(target)
            body = text.encode()
            last = headers.get("connection", "").lower() == "close"
            writer.write(
                b"HTTP/1.1 %d OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n%s\r\n"
                % (status, len(body), b"Connection: close\r\n" if last else b"")
            )
            if method != "HEAD":
                writer.write(body)
            await writer.drain()
            if last:
                return
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the client has gone
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, port=int(os.environ.get("PORT", "8080")))
    async with server:
        await server.serve_forever()


asyncio.run(main())
