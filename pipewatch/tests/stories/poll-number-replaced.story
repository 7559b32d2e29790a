# Another thread puts another pipe at the number that is polled: the kernel goes
# on to wait for what was there before.
0ms     process 500 server
0ms     500 thread 501 worker
1ms     500 pipe 3 4
2ms     500 pipe 5 6
3ms     500 poll 3
4ms     501 fork 510
5ms     501 dup 5 3
6ms     501 close 6
silence until 9s
