"""The tests of the LiveKit plugin run against the real livekit-agents, or not at all."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect

import pytest

if importlib.util.find_spec("livekit") is None or importlib.util.find_spec("livekit.agents") is None:
    print("skipped: tests/livekit needs livekit-agents (pip install './python[livekit]')")
    collect_ignore_glob = ["*"]


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs ``async def`` tests, each in a loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True
