# H1 with two heirs of the same race. The wait ends with the last of them.
0ms     process 912 agent
0ms     912 thread 934 pusher
0ms     912 thread 921 updater
1ms     934 pipe 18 19 cloexec
2ms     921 fork 25189
3ms     921 fork 25190
4ms     934 close 19
5ms     934 read 18
expect by 1255ms: hang, leaked, fork-race, certain, exact, holders 25189 25190, timeline pipe@934 fork@921 fork@921 close@934 read@934
2000ms  25190 exit
expect by 2250ms: update, leaked, fork-race, holders 25189
3000ms  25189 exit
expect by 3250ms: resolved, eof, freed by 25189 exit
