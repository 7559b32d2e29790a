"""An idle multiprocessing pool that has done a job: its workers wait for more, nobody is stuck."""

import multiprocessing
import time

from facts import say, wait_for_go

wait_for_go()
with multiprocessing.get_context("fork").Pool(3) as pool:
    pool.map(abs, range(10))
    say("idle")
    time.sleep(90)
