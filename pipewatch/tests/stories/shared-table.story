# Two processes use one table: what one closes is closed for both.
0ms     process 500 server
0ms     500 thread 510 forker
1ms     500 pipe 3 4
1ms     500 fork 501 sharing
2ms     510 fork 502
3ms     501 close 4
4ms     500 read 3
expect by 1254ms: hang, leaked, fork-race, certain, exact, reader 500, holders 502
5000ms  502 exit
expect by 5250ms: resolved, eof, freed by 502 exit
