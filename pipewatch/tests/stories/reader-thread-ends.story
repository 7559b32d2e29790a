# The thread that reads is ended by an exec of another one.
0ms     process 500 server
0ms     500 thread 510 reader
1ms     500 pipe 3 4 cloexec
2ms     500 fork 501
3ms     500 close 4
4ms     510 read 3
expect by 1254ms: hang, leaked, fork, reader 510
3000ms  500 exec server
expect by 3250ms: resolved, reader-gone, reader 510
