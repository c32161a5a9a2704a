"""Servers of whatever protocol on loopback, in the test's own process.

    with Servers() as servers:
        port = servers.tcp(http(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n"))
"""

import asyncio
import struct
import threading


class Servers:
    """TCP and UDP servers on loopback, all on one thread. Use as a context manager."""

    def __init__(self):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._listeners = []
        self._talks = set()  # asyncio itself forgets a task that waits for nothing

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=10)

    async def _end(self):
        for listener in self._listeners:
            listener.close()
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await asyncio.sleep(0)  # One more client may have been let in meanwhile.

    def tcp(self, talk):
        """The port of a server that runs `talk(reader, writer)` for each client."""
        async def client(reader, writer):
            self._talks.add(asyncio.current_task())
            try:
                await talk(reader, writer)
            except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass  # The client has had enough, what is hoped for, or the test is over.
            finally:
                writer.close()
                self._talks.discard(asyncio.current_task())

        async def start():
            server = await asyncio.start_server(client, "127.0.0.1", 0, backlog=1000)
            self._listeners.append(server)
            return server.sockets[0].getsockname()[1]
        return self._do(start())

    def udp(self, answer):
        """The port of a server that sends what `answer(request)` gives."""
        class Protocol(asyncio.DatagramProtocol):
            def connection_made(self, transport):
                self.transport = transport

            def datagram_received(self, data, sender):
                for reply in answer(data):
                    self.transport.sendto(reply, sender)

        async def start():
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                Protocol, local_addr=("127.0.0.1", 0))
            self._listeners.append(transport)
            return transport.get_extra_info("sockname")[1]
        return self._do(start())


# -- what they say

def http(answer):
    """A good server of HTTP but for what it answers."""
    async def talk(reader, writer):
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
    return talk


def dns_with(answers, record):
    """A name server whose header promises `answers` records, and whose message holds `record`."""
    def answer(query):
        return [query[:2] + struct.pack(">HHHHH", 0x8180, 1, answers, 0, 0) + query[12:] + record]
    return answer


def line_by_line(greeting, answer):
    """Greets, and gives what `answer(line)` is for each line; None: it says good-bye."""
    async def talk(reader, writer):
        writer.write(greeting)
        while line := await reader.readline():
            said = answer(line)
            if said is None:
                return
            writer.write(said)
            await writer.drain()
    return talk
