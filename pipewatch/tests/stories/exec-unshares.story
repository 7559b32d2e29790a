# One of two processes that use one table executes a program: it gets a copy,
# without what is marked. The other one still holds the write end.
0ms     process 500 server
1ms     500 pipe 3 4 cloexec
2ms     500 fork 501
3ms     501 fork 502 sharing
4ms     500 close 4
5ms     500 read 3
6ms     501 exec program
expect by 1255ms: hang, leaked, fork, holders 502
5000ms  502 exit
expect by 5250ms: resolved, eof, freed by 502 exit
