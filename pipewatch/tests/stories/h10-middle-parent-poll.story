# H10, H14: as h10-middle-parent, but the reader waits by poll for this pipe alone,
# and without a limit of time.
0ms     process 500 parent
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     501 close 3
4ms     500 fork 502
5ms     502 close 4
6ms     501 write 4
7ms     501 exit
8ms     502 read 3
9ms     502 poll 3
10ms    500 waitpid
expect by 1259ms: hang, leaked, fork, certain, exact, reader 502, holders 500, 500 is parent
silence until 20s
