"""`python -m listenkit FILE ...`: the events of recordings as JSON, one per line, as `listenkit analyze --json` prints them."""

from __future__ import annotations

import argparse
import json
import sys

import listenkit


def main(arguments: list[str] | None = None) -> int:
    """Prints the events; 1 if a recording cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m listenkit", description=__doc__)
    parser.add_argument("files", nargs="+", metavar="FILE.wav")
    parser.add_argument("--no-turn-model", action="store_true", help="silence alone decides when a turn is over")
    parser.add_argument("--policy", choices=["fast", "balanced", "patient"], help="how soon a turn is over (balanced)")
    parser.add_argument("--version", action="version", version=f"listenkit {listenkit.__version__}")
    given = parser.parse_args(arguments)
    failed = 0
    for file in given.files:
        try:
            found = listenkit.detect(file, turn_model=not given.no_turn_model, policy=given.policy)
        except (OSError, listenkit.ListenkitError) as error:
            # An OSError of `open` names the file, an InputError of listenkit too.
            print(f"error: {error}", file=sys.stderr)
            failed = 1
            continue
        name = {"file": file} if len(given.files) > 1 else {}
        for event in found.events:
            print(json.dumps(event.as_dict() | name, separators=(",", ":")))
        at, seconds = found.samples, round(found.duration, 6)
        end = {"event": "end_of_input", "at": at, "at_s": seconds, "decided_at": at, "decided_at_s": seconds}
        end |= {"fingerprint": f"{found.fingerprint:016x}"} | name
        print(json.dumps(end, separators=(",", ":")))
    return failed


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:  # `| head`
        sys.stderr.close()
        sys.exit(1)
