"""What a target tells the test that runs it: one JSON line per fact."""

import json
import os
import sys
import time


def say(fact, **fields):
    """Print one fact by a single write, so that lines of parent and child never mix."""
    line = json.dumps({"fact": fact, "time_us": time.time_ns() // 1000, **fields})
    os.write(1, line.encode() + b"\n")


def wait_for_go():
    """Say our pid, then wait for the line that starts the shape (`--now`: do not wait)."""
    say("ready", pid=os.getpid())
    if "--now" not in sys.argv:
        sys.stdin.readline()
