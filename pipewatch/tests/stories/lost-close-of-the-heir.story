# The worker closes its copy of the read end, as one that will write does, and
# that is lost. The tables show it all the same.
0ms     process 500 server
1ms     500 pipe 3 4 cloexec
2ms     500 fork 501
3ms     lose 1
3ms     501 close 3
4ms     500 close 4
5ms     500 read 3
silence until 20s
