"""What our WebSocket is measured beside: `python -m benchmarks.live_peers PORT` serves by the `websockets` library.

It answers a subscription, and on each line of its input sends one frame to everybody with `broadcast`, the fastest way
that the library has. `live_peer.js` does the same on Node's `ws`.
"""

import asyncio
import sys

from websockets.asyncio.server import ServerConnection, broadcast, serve

EVENT = '{"type": "build_update", "pad": "' + "x" * 420 + '"}'


async def main(port: int) -> None:
    """Serve until the input ends."""
    clients: set[ServerConnection] = set()

    async def handler(client: ServerConnection) -> None:
        async for _ in client:
            await client.send('{"type": "subscription_confirmed"}')
            clients.add(client)

    loop = asyncio.get_running_loop()
    async with serve(handler, "127.0.0.1", port, compression=None, ping_interval=None):
        print("ready", flush=True)
        while await loop.run_in_executor(None, sys.stdin.readline):
            broadcast(clients, EVENT)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
