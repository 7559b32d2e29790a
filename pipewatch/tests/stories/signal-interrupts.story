# A signal ends the read for good. Later the same thread reads again: that is
# another wait.
0ms     process 500 server
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     500 close 4
4ms     500 read 3
expect by 1254ms: hang, leaked, fork, reader 500
3000ms  1 signal 500 eintr
expect by 3250ms: resolved, interrupted, reader 500, freed by nobody
5000ms  500 read 3
expect by 6250ms: hang, leaked, fork, reader 500
