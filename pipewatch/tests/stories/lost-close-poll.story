# The creator's close is lost, and it waits in poll: the tables show that it holds no
# write end any more, so that the wait is worth a look.
0ms     process 912 agent
0ms     912 thread 934 pusher
0ms     912 thread 921 updater
1ms     934 pipe 18 19 cloexec
2ms     921 fork 25189
3ms     lose 1
3ms     934 close 19
4ms     934 poll 18
expect by 2204ms: hang, leaked, fork-race, certain, inferred, in poll, holders 25189
silence until 20s
