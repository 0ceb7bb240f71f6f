#!/usr/bin/env python3
"""A livekit-agents 1.8.9 worker whose jobs wait for their end and join nothing: the oracle of what a worker says to its server.

    LIVEKIT_URL=... LIVEKIT_API_KEY=... LIVEKIT_API_SECRET=... python wire_worker.py start
"""

from __future__ import annotations

from livekit.agents import AgentServer, JobContext, JobRequest, cli


async def entrypoint(_: JobContext) -> None:
    """Returns; the job goes on until the server or the worker ends it."""


async def accept(request: JobRequest) -> None:
    await request.accept(name="wire", metadata="of the test", attributes={"k": "v"})


def main() -> None:
    server = AgentServer(load_fnc=lambda: 0.25, num_idle_processes=1, host="127.0.0.1", port=0)
    server.rtc_session(entrypoint, agent_name="wire", on_request=accept)
    cli.run_app(server)


if __name__ == "__main__":
    main()
