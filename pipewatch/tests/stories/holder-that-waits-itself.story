# The child that keeps the end waits for others, who wait for others: where that ends is
# told, since it ends nothing to look at the child alone.
0ms     process 500 agent
1ms     500 pipe 3 4
1ms     500 pipe 5 6
2ms     500 fork 501
3ms     501 close 6
3ms     500 close 4
4ms     500 fork 502
4ms     502 close 5
4ms     500 close_range 5 6
5ms     502 exec filter
6ms     502 pipe 7 8
6ms     502 fork 503
6ms     503 close 7
6ms     502 close 8
7ms     502 read 7
7ms     501 read 5
8ms     500 read 3
expect by 1258ms: hang, leaked, reader 500, holders 501, says it waits in a read itself, says and the last of that chain is thread 502 (filter) of process 502 (rule: idle heir)
silence until 20s
