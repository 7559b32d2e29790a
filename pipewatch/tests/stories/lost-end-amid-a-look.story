# The writer leaves after a look has listed who holds what, and before it lists
# the threads. That the reader is woken is lost.
0ms     process 500 server
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     500 close 4
4ms     500 read 3
expect by 1254ms: hang, leaked, fork, reader 500, holders 501
2000ms  look
2001ms  lose 9
2001ms  501 exit
2002ms  500 waitpid
expect by 5250ms: resolved, eof, reader 500, freed by nobody
