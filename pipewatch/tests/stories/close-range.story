# Ends are closed by ranges: the creator's, and those of a heir that knows what
# it does. The other one remains.
0ms     process 500 server
0ms     500 thread 510 forker
1ms     500 pipe 3 4
2ms     510 fork 501
2ms     510 fork 502
3ms     501 close_range 3 4294967295
4ms     500 close_range 4 99
5ms     500 read 3
expect by 1255ms: hang, leaked, fork-race, certain, exact, holders 502, timeline pipe@500 fork@510 close@500 read@500
5000ms  502 close_range 3 4294967295
expect by 5250ms: resolved, eof, freed by 502 close
