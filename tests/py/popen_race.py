"""One thread starts commands, another forks workers, until a start hangs by itself.

Nothing here leaks on purpose: a fork that falls between Popen's pipe() and its close() hands the worker
a copy of the pipe by which Popen learns whether exec worked.
"""

import os
import subprocess
import sys
import threading
import time

from facts import say, wait_for_go

WORKER_LIVES = 3.0
WORKERS = 60
STUCK_AFTER = 0.5

# Popen encodes the environment inside the window, and threads change over often: the race that a
# production service loses once a week is lost within seconds here.
ENVIRONMENT = {**os.environ, **{f"SETTING_{n}": "value" for n in range(300)}}
sys.setswitchinterval(1e-5)

hung = threading.Event()
starting_since = None


def start_commands():
    global starting_since
    while not hung.is_set():
        starting_since = time.monotonic()
        command = subprocess.Popen(["true"], env=ENVIRONMENT)
        starting_since = None
        command.wait()
    say("returned")


def is_stuck():
    since = starting_since
    return since is not None and time.monotonic() - since > STUCK_AFTER


def fork_workers(reader):
    workers = []
    while not is_stuck():
        workers = [worker for worker in workers if os.waitpid(worker, os.WNOHANG)[0] == 0]
        if len(workers) < WORKERS:
            worker = os.fork()
            if worker == 0:
                time.sleep(WORKER_LIVES)
                os._exit(0)
            workers.append(worker)
        time.sleep(0.005)
    hung.set()
    say("hung", reader_tid=reader.native_id, forker_tid=threading.get_native_id(), workers=workers)
    for worker in workers:
        os.waitpid(worker, 0)


wait_for_go()
reader = threading.Thread(target=start_commands)
reader.start()
forker = threading.Thread(target=fork_workers, args=(reader,))
forker.start()
reader.join()
forker.join()
