# One heir withholds two pipes from two threads.
0ms     process 500 server
0ms     500 thread 510 other
0ms     500 thread 520 forker
1ms     500 pipe 3 4 cloexec
2ms     510 pipe 5 6 cloexec
3ms     520 fork 501
4ms     500 close 4
5ms     510 close 6
6ms     500 read 3
7ms     510 read 5
expect by 1256ms: hang, leaked, fork-race, certain, reader 500, fd 3, 501 holds 3r 4w, timeline pipe@500 fork@520 close@500 read@500
expect by 1257ms: hang, leaked, fork-race, certain, reader 510, fd 5, 501 holds 5r 6w, timeline pipe@510 fork@520 close@510 read@510
5000ms  501 exit
expect by 5250ms: resolved, eof, reader 500, freed by 501 exit
expect by 5250ms: resolved, eof, reader 510, freed by 501 exit
