# H1, and the heir forks a child of its own: both hold the write end, both go
# back to the same race. The grandchild is told of when it comes, and is what
# is left when the heir ends.
0ms     process 912 agent
0ms     912 thread 934 pusher
0ms     912 thread 921 updater
1ms     934 pipe 18 19 cloexec
2ms     921 fork 25189
3ms     934 close 19
4ms     934 read 18
expect by 1254ms: hang, leaked, fork-race, certain, holders 25189
2000ms  25189 fork 25190
expect by 2250ms: update, leaked, fork-race, certain, exact, holders 25189 25190, 25190 via fork, 25190 is descendant, 25190 unused, timeline pipe@934 fork@921 close@934 read@934 fork@25189
3000ms  25189 exit
expect by 3250ms: update, leaked, fork-race, certain, holders 25190
4000ms  25190 exit
expect by 4250ms: resolved, eof, freed by 25190 exit
