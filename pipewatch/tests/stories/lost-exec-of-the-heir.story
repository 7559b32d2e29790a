# The read end is gone from the heir: by a close, or by an exec? The exec was lost.
# Whoever may have been meant to write is not accused.
0ms     process 500 server
1ms     500 pipe 3 4
1ms     500 cloexec 3 on
2ms     500 fork 501
3ms     lose 1
3ms     501 exec tool
4ms     500 close 4
5ms     500 read 3
silence until 20s
