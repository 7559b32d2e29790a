# A pool: one thread waits for the death of a worker, the worker waits for jobs,
# which any other thread of the pool may send. No cycle, though the worker waits
# for the process that waits for it.
0ms     process 500 pool
0ms     500 thread 510 watcher
1ms     500 pipe 3 4
1ms     500 pipe 5 6
2ms     500 fork 501
3ms     501 close 5
3ms     501 close 4
4ms     500 close 6
4ms     500 close 3
5ms     501 read 3
6ms     510 read 5
silence until 30s
