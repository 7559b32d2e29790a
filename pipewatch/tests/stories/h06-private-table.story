# H6 (a): a thread made its table private, so that the close of the main thread
# left a write end in there, which /proc/PID/fd does not show.
0ms     process 500 reader
0ms     500 thread 501 hoarder
1ms     500 pipe 3 4
2ms     501 unshare
3ms     500 close 4
4ms     500 read 3
expect by 1254ms: hang, self-held, exact, reader 500, holders 500
silence until 20s
20s     501 leave
expect by 20250ms: resolved, eof, reader 500, freed by 500 exit
