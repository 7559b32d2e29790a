"""The article's good case: with the only write end closed, the read returns at once."""

import os
import time

from facts import say, wait_for_go

wait_for_go()
r, w = os.pipe()
os.close(w)
assert os.read(r, 10) == b""
say("returned")
time.sleep(5)
