# Another thread closes the descriptor that is being read, as if that ended the
# read. It does not: the thread sleeps on, and the wait is not over.
0ms     process 500 server
0ms     500 thread 510 other
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     500 close 4
4ms     500 read 3
expect by 1254ms: hang, leaked, fork, reader 500
3000ms  510 close 3
silence until 20s
20s     501 exit
expect by 20250ms: resolved, eof, reader 500, freed by 501 exit
