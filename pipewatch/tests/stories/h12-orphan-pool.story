# H12: the creator of a pool is dead. One worker is in read, all hold both ends.
0ms     process 500 pool
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     500 fork 502
4ms     501 read 3
5ms     500 write 4
6ms     501 read 3
7000ms  1 kill 500
expect by 8250ms: hang, leaked, fork, certain, exact, reader 501, holders 502 501, timeline pipe@500 fork@500 fork@500 read@501 exit@500
silence until 30s
