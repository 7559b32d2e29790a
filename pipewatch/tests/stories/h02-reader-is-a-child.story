# H2 among children: the parent made the pipe for one child and forked another,
# which knows nothing of it. Then it closed both ends.
0ms     process 500 server
1ms     500 pipe 3 4
2ms     500 fork 501
2ms     501 close 4
3ms     500 fork 502
4ms     500 close 3
4ms     500 close 4
5ms     501 read 3
expect by 1255ms: hang, leaked, fork, likely, exact, reader 501, created by 500, holders 502, 502 is sibling
5000ms  500 kill 502
expect by 5250ms: resolved, eof, reader 501, freed by 502 exit
