"""A line to PostgreSQL that is slow on purpose: what is sent through it arrives later."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

from django.db import connection

CHUNK = 65_536


class SlowLine:
    """``with SlowLine() as line: line.seconds = 2``: everything the application sends from then on is two seconds late."""

    def __init__(self) -> None:
        connection.ensure_connection()
        where = connection.settings_dict
        self.socket = f"{where['HOST']}/.s.PGSQL.{where['PORT'] or 5432}"
        self.seconds, self.port, self.late_count = 0.0, 0, 0
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> SlowLine:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def settings(self) -> dict[str, Any]:
        """For a plain connection that goes this way."""
        return {**connection.settings_dict, "HOST": "127.0.0.1", "PORT": str(self.port)}

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, here = await asyncio.open_unix_connection(self.socket)
        await asyncio.gather(self._pass(reader, here, is_slow=True), self._pass(there, writer, is_slow=False))

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_slow: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await source.read(CHUNK):
                if is_slow:
                    await asyncio.sleep(self.seconds)
                    self.late_count += self.seconds > 0
                sink.write(chunk)
                await sink.drain()
        sink.close()
