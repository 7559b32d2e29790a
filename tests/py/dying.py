"""Readers that die about when they are judged: odd ones of a pipe of their own, which
nobody else can write to, even ones of a pipe that their parent keeps."""

import json
import os
import signal
import sys
import time

SECONDS = 4.0


def say(fact, **fields):
    print(json.dumps({"fact": fact, **fields}), flush=True)


def reader(number):
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        # From a little before to a little after the threshold of 100 ms.
        signal.setitimer(signal.ITIMER_REAL, 0.085 + 0.0005 * (number % 80))
        if number % 2:
            r, _w = os.pipe()
        else:
            os.close(w)
        os.read(r, 1)
        os._exit(0)
    os.close(r)
    return pid, w


def bury(pid, w):
    # Not by a wait that only the reader's end ends, which would be a hang.
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        time.sleep(0.001)
    os.close(w)


say("ready")
sys.stdin.readline()
hanging, living = [], []
end = time.monotonic() + SECONDS
number = 0
while time.monotonic() < end:
    pid, w = reader(number)
    if number % 2:
        hanging.append(pid)
    living.append((pid, w))
    number += 1
    if len(living) >= 16:
        bury(*living.pop(0))
for pid, w in living:
    bury(pid, w)
say("died", hanging=hanging, readers=number)
