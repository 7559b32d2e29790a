# The sentinel, and a grandchild that has a copy of it: the death of the child
# is not told.
0ms     process 500 executor
1ms     500 pipe 3 4 cloexec
2ms     500 fork 501
3ms     501 close 3
4ms     500 close 4
5ms     500 read 3
6ms     501 fork 502
5000ms  501 exit
expect by 6250ms: hang, orphaned, fork, likely, reader 500, holders 502
silence until 30s
