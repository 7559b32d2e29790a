# H1, but when the wait begins the heir has ended already, and only its child
# is left. The fork that matters is the first one.
0ms     process 912 agent
0ms     912 thread 934 pusher
0ms     912 thread 921 updater
1ms     934 pipe 18 19 cloexec
2ms     921 fork 25189
3ms     25189 fork 25190
4ms     25189 exit
5ms     934 close 19
6ms     934 read 18
expect by 1256ms: hang, leaked, fork-race, certain, exact, holders 25190, 25190 via fork, timeline pipe@934 fork@921 fork@25189 close@934 read@934
7000ms  25190 close 19
expect by 7250ms: resolved, eof, freed by 25190 close
