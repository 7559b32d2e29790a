"""Many reads that wait in vain at once, each for a child of its own: which is which is told
by the names of threads, and by what is called below them.

Runs on every Python from 3.6 on.
"""

import os
import sys
import threading
import time


def odd(act, *arguments):
    act(*arguments)


def even(act, *arguments):
    act(*arguments)


def keep():
    time.sleep(60)


os.write(1, b'{"fact":"ready"}\n')
sys.stdin.readline()
threads = []
for _ in range(int(sys.argv[1])):
    reading, writing = os.pipe()
    kind = odd if reading % 2 else even
    if os.fork() == 0:
        kind(keep)
        os._exit(0)
    os.close(writing)
    name = "reader of %d" % reading
    threads.append(threading.Thread(target=kind, args=(os.read, reading, 1), name=name))
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
