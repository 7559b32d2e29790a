# A range is marked close-on-exec, and the exec closes it.
0ms     process 500 server
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     501 close_range 3 4294967295 mark
4ms     500 close 4
5ms     500 read 3
expect by 1255ms: hang, leaked, fork, 501 unused
5000ms  501 exec program
expect by 5250ms: resolved, eof, freed by 501 exec
