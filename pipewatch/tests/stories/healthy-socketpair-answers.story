# A worker that keeps its untouched pair of sockets has answered before, quickly.
0ms     process 500 server
1ms     500 socketpair 3 4
2ms     500 fork 501
3ms     500 close 4
100ms   500 recv 3
200ms   501 write 4
201ms   500 recv 3
300ms   501 write 4
301ms   500 recv 3
silence until 9s
