# A thread of the heir gets a table of its own and closes the write end in it.
# That frees nobody: the other one is still there.
0ms     process 500 server
1ms     500 pipe 3 4
2ms     500 fork 501
2ms     501 thread 502 other
3ms     500 close 4
4ms     500 read 3
5ms     502 unshare
6ms     502 close 4
expect by 1254ms: hang, leaked, fork, likely, exact, holders 501
5000ms  501 close 4
expect by 5250ms: resolved, eof, freed by 501 close
