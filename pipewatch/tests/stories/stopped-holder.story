# An heir that was stopped is an heir all the same, and it is told that it is
# stopped.
0ms     process 500 server
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     500 close 4
4ms     1 stop 501
5ms     500 read 3
expect by 1255ms: hang, leaked, fork, holders 501, 501 stopped
