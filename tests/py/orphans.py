"""A read hangs in one child, for the write end that another one keeps, when who made the pipe and forked is gone."""

import os
import time

from facts import wait_for_go


def fork(work):
    if os.fork() == 0:
        work()
        os._exit(0)


def parent():
    read_end, write_end = os.pipe()  # made

    def wait():
        os.close(write_end)
        time.sleep(0.2)  # till the parent is gone
        os.read(read_end, 1)  # waits

    fork(wait)
    fork(lambda: time.sleep(4))  # forks
    os._exit(0)


if __name__ == "__main__":
    wait_for_go()
    fork(parent)
    time.sleep(6)
