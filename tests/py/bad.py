"""The article's bad case: a forked child still has the write end that the parent closes before it reads.

usage: bad.py [--now] HOLD DELAY

The child closes HOLD seconds after its start; the parent closes and reads after DELAY seconds.
"""

import multiprocessing
import os
import sys
import threading
import time

from facts import say, wait_for_go


def hold_then_close(w, hold):
    time.sleep(hold)
    say("released", how="close")
    os.close(w)
    time.sleep(1)


hold, delay = map(float, sys.argv[-2:])
wait_for_go()
r, w = os.pipe()
child = multiprocessing.get_context("fork").Process(target=hold_then_close, args=(w, hold))
child.start()
time.sleep(delay)
os.close(w)

tid = threading.get_native_id()
say(
    "expect",
    hang={
        "verdict": "leaked",
        "cause": "fork",
        "confidence": "likely",
        "certainty": "exact",
        "reader": {"pid": os.getpid(), "tid": tid, "fd": r, "call": "read"},
        "pipe": {"inode": os.fstat(r).st_ino, "kind": "pipe", "created": {"tid": tid, "fds": [r, w]}},
        "holders": [
            {
                "pid": child.pid,
                "ppid": os.getpid(),
                "fds": [{"fd": r, "mode": "r", "cloexec": True}, {"fd": w, "mode": "w", "cloexec": True}],
                "relation": "child",
                "used": False,
                "execed": False,
                "via": {"kind": "fork", "tid": tid},
            }
        ],
        "timeline": [
            {"what": "pipe2", "tid": tid, "fds": [r, w]},
            {"what": "fork", "tid": tid, "child": child.pid},
            {"what": "close", "tid": tid, "fds": [w]},
            {"what": "read", "tid": tid, "fds": [r]},
        ],
    },
)
say("reading")
os.read(r, 10)
say("returned")
child.join()
