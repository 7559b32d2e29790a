# A client makes a pair of sockets, passes one to a server, and waits for it to
# speak first.
0ms     process 500 client
0ms     process 600 server
1ms     500 socketpair 3 4
2ms     500 send 4
3ms     600 receive 9
4ms     500 close 4
5ms     500 recv 3
silence until 5s
5s      600 write 9
