# The command writes, goes on for so long that the wait is looked at, and leaves a
# program behind.
0ms     process 500 shell
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     501 dup 4 1
3ms     501 close 3
3ms     501 close 4
4ms     500 close 4
5ms     500 read 3
6ms     501 fork 502
7ms     502 exec sleep
8ms     501 write 1
9ms     500 read 3
3s      501 write 1
3001ms  500 read 3
6s      501 exit
expect by 8s: hang, orphaned, fork, likely, exact, reader 500, holders 502
silence until 20s
