# H14, H17: as an event loop that reads a child's output by a pair of sockets.
0ms     process 500 node
1ms     500 socketpair 10 11
2ms     500 fork 501
3ms     501 dup 11 1
4ms     501 close 10
5ms     501 close 11
6ms     501 exec sh
7ms     500 close 11
8ms     501 fork 502
9ms     502 exec sleep
10ms    501 exit
11ms    500 poll 10
expect by 1265ms: hang, orphaned, fork, likely, exact, reader 500, in poll, socketpair, holders 502
20s     502 exit
expect by 20250ms: resolved, eof, freed by 502 exit
