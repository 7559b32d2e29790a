# H12: the creator of a lifeline is killed. Its reader would learn of that, but
# a sibling has a copy of the write end. It becomes a hang with the death.
0ms     process 500 master
1ms     500 pipe 3 4
2ms     500 fork 501
2ms     501 close 4
3ms     500 fork 502
4ms     501 read 3
silence until 20s
20s     1 kill 500
expect by 21250ms: hang, leaked, fork, certain, exact, reader 501, holders 502, created by 500, timeline pipe@500 fork@500 close@501 fork@500 read@501 exit@500
30s     502 exit
expect by 30250ms: resolved, eof, freed by 502 exit
