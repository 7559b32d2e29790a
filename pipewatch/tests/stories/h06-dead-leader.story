# H6 (b): the heir's main thread has ended, another one lives. /proc/PID/fd is
# empty, the write end is held all the same.
0ms     process 500 reader
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     501 thread 502 worker
4ms     501 leave
5ms     500 close 4
6ms     500 read 3
expect by 1256ms: hang, leaked, fork, likely, exact, holders 501, 501 holds 3r 4w
5000ms  502 leave
expect by 5250ms: resolved, eof, freed by 501 exit
