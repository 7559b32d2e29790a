# A helper at the other end of a pair of sockets is asked now and then; it closed
# the end that is not its own.
pipewatch -v
0ms     process 500 app
1ms     500 socketpair 3 4
2ms     500 fork 501
3ms     501 close 3
4ms     500 close 4
5ms     501 recv 4
expect by 1260ms: hang, waiting, reader 501, socketpair, holders 500
2s      500 write 3
expect by 2250ms: resolved, data
2s      500 recv 3
expect by 3260ms: hang, waiting, reader 500, holders 501
4s      501 write 4
expect by 4250ms: resolved, data
