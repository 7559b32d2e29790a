# The child answers within the threshold, then computes the next answer for long.
0ms     process 500 parent
1ms     500 pipe 3 4 cloexec
2ms     500 fork 501
3ms     500 close 4
4ms     500 read 3
200ms   501 write 4
201ms   500 read 3
silence until 60s
