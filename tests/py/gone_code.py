"""A pipe is made by code that is gone when a read from it hangs, with other code in its place."""

import gc
import os
import time

from facts import wait_for_go

CALLERS = 64


def defined(name, lines):
    scope = {"os": os}
    exec(compile("\n" * lines + "def made(): return os.pipe()", name, "exec"), scope)
    return scope["made"]


def make_pipe():
    return defined("<gone>", 10)()  # calls


def fill():
    return [defined("<other>", 20) for _ in range(CALLERS)]


if __name__ == "__main__":
    wait_for_go()
    read_end, write_end = make_pipe()  # runs
    gc.collect()
    others = fill()
    if os.fork() == 0:
        time.sleep(4)
        os._exit(0)
    os.close(write_end)
    os.read(read_end, 1)  # waits
