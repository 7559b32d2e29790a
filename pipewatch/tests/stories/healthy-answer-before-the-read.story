# The child's first answer is there before the parent reads at all; the second
# one takes long.
0ms     process 500 parent
1ms     500 pipe 3 4 cloexec
2ms     500 fork 501
3ms     500 close 4
100ms   501 write 4
200ms   500 read 3
201ms   500 read 3
silence until 60s
