# The probes report already when the first snapshot is taken, so that it shows
# what the events repeat. The history is complete.
0ms     process 912 agent
0ms     912 thread 934 pusher
0ms     912 thread 921 updater
1ms     watch 912
2ms     934 pipe 18 19 cloexec
3ms     921 fork 25189
4ms     934 close 19
5ms     attach
6ms     934 read 18
expect by 1256ms: hang, leaked, fork-race, certain, exact, holders 25189, timeline pipe@934 fork@921 close@934 read@934
8000ms  25189 exit
expect by 8250ms: resolved, eof, freed by 25189 exit
