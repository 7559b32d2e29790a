# An idle pool: one worker in read, the others wait for its turn; all hold both
# ends, and so does the creator.
0ms     process 500 pool
1ms     500 pipe 3 4 cloexec
2ms     500 fork 501
2ms     500 fork 502
2ms     500 fork 503
3ms     501 read 3
100ms   500 write 4
101ms   502 read 3
silence until 60s
