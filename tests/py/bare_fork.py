"""A read that waits in vain, below a thread of its own: a child of os.fork keeps the write end.

Runs on every Python from 2.7 on.
"""

import os
import sys
import threading
import time


def keep():
    time.sleep(60)  # keeps


def fork():
    if os.fork() == 0:  # os_fork
        keep()
        os._exit(0)


def wait_for_word():
    reading, writing = os.pipe()  # makes
    fork()  # forks
    os.close(writing)
    os.read(reading, 1)  # waits


os.write(1, b'{"fact":"ready"}\n')
sys.stdin.readline()
thread = threading.Thread(target=wait_for_word, name="a name of more than 15 bytes")
thread.start()
thread.join()
