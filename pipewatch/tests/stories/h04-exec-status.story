# H4: the launcher waits for EOF on its private "did exec work?" pipe, which the
# child's exec closes. A fork by another thread has a copy. The command itself
# has long ended, and nobody has waited for it.
0ms     process 700 launcher
0ms     700 thread 701 spawner
0ms     700 thread 702 server
1ms     701 pipe 5 6 cloexec
2ms     702 fork 705
3ms     701 fork 710
4ms     701 close 6
5ms     710 exec true
6ms     701 read 5
7ms     710 exit
expect by 1256ms: hang, leaked, fork-race, certain, exact, reader 701, holders 705, timeline pipe@701 fork@702 close@701 read@701
9000ms  705 exec worker
expect by 9250ms: resolved, eof, freed by 705 exec
9500ms  701 reap 710
