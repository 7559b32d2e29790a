# H17: a child forked for other work keeps its untouched pair of sockets.
0ms     process 500 server
1ms     500 socketpair 3 4
2ms     500 fork 501
3ms     500 close 4
4ms     500 recv 3
expect by 1255ms: hang, leaked, fork, likely, exact, reader 500, in recv, socketpair, holders 501, 501 holds 3r 4w
3s      501 write 4
expect by 3250ms: resolved, data
4s      500 recv 3
silence until 9s
