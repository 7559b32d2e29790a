"""The story: a thread starts a command, and while it does, another one starts a process.

The process inherits the pipe by which Popen learns whether exec worked, so Popen waits until it ends.
"""

import multiprocessing
import os
import subprocess
import threading
import time

from facts import wait_for_go

PROCESS_LIVES = 4.0

in_window = threading.Event()
forked = threading.Event()


class Environment(dict):
    """Popen goes through it between its pipe() and its close(): a window that waits to be used."""

    def items(self):
        in_window.set()
        forked.wait()
        return super().items()


def update():
    time.sleep(PROCESS_LIVES)  # keeps


def start_command():
    subprocess.Popen(["true"], env=Environment(os.environ))  # waits


def start_updater():
    in_window.wait()
    process = multiprocessing.get_context("fork").Process(target=update, daemon=True)
    process.start()  # forks
    forked.set()
    process.join()


if __name__ == "__main__":
    wait_for_go()
    threads = [
        threading.Thread(target=start_command, name="pusher_keep_alive"),
        threading.Thread(target=start_updater, name="updater"),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
