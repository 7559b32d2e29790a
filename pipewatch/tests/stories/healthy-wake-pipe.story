# An event loop's wake pipe: both ends in one process, never expects EOF, and a
# forked child has copies.
0ms     process 500 service
1ms     500 pipe 3 4 cloexec
2ms     500 fork 501
3ms     500 read 3
silence until 60s
