"""What os.pipe and os.fork cost in this process, at stacks of some depths: alone, and watched.

    python3.11 tests/py/cost.py
    pipewatch --stacks off -- python3.11 tests/py/cost.py
    pipewatch -- python3.11 tests/py/cost.py
"""

import os
import statistics
import sys
import time

PIPES = 4000
FORKS = 400
ROUNDS = 4


def at_depth(frames, work):
    return work() if frames == 0 else at_depth(frames - 1, work)


def pipes():
    times = []
    for _ in range(PIPES):
        begin = time.perf_counter_ns()
        ends = os.pipe()
        times.append(time.perf_counter_ns() - begin)
        for end in ends:
            os.close(end)
    return times


def forks():
    times = []
    for _ in range(FORKS):
        begin = time.perf_counter_ns()
        child = os.fork()
        if child == 0:
            os._exit(0)
        times.append(time.perf_counter_ns() - begin)
        os.waitpid(child, 0)
    return times


if __name__ == "__main__":
    time.sleep(1)  # till whoever watches has begun
    for frames in map(int, sys.argv[1:] or (8, 16, 32)):
        # This module's frame, the first of at_depth and the work's are among them.
        depth = frames - 3
        made, forked = [], []
        for _ in range(ROUNDS):
            made += at_depth(depth, pipes)
            forked += at_depth(depth, forks)
        made, forked = (statistics.median(times) / 1000 for times in (made, forked))
        print(f"{frames} frames: pipe {made:.2f} us, fork {forked:.0f} us", file=sys.stderr)
