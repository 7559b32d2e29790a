# H12, and all workers are in read: of the second and third only that they wait too is news.
0ms     process 500 pool
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     500 fork 502
4ms     500 fork 503
5ms     501 read 3
6ms     502 read 3
7ms     503 read 3
7000ms  1 kill 500
expect by 8250ms: hang, leaked, certain, reader 501, holders 502 503 501, told first, says it waits for this pipe itself (rule: idle heir), says so nothing frees it: end processes 502, says 503 and 501
expect by 8250ms: hang, leaked, certain, reader 502, holders 501 503 502, same as 1
expect by 8250ms: hang, leaked, certain, reader 503, holders 501 502 503, same as 1
silence until 20s
# Whoever was told of first is gone: the next one is told of in full.
20000ms 1 kill 501
expect by 20250ms: resolved, reader-gone, reader 501
expect by 20250ms: update, reader 502, holders 503 502, told first
expect by 20250ms: update, reader 503, holders 502 503, same as 2
silence until 30s
