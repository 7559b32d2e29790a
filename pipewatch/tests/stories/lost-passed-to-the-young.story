# Who has the end came after the pipe. Its fork was lost, so it may have closed its
# copy of the read end.
0ms     process 500 sender
1ms     500 pipe 3 4
2ms     lose 5
2ms     500 fork 501
3ms     501 close 3
4ms     500 close 4
5ms     500 read 3
silence until 20s
