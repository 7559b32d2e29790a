# The creator's close is lost, and found by looking: a hang, but not all of its
# history was seen.
0ms     process 912 agent
0ms     912 thread 934 pusher
0ms     912 thread 921 updater
1ms     934 pipe 18 19 cloexec
2ms     921 fork 25189
3ms     lose 1
3ms     934 close 19
4ms     934 read 18
expect by 1254ms: hang, leaked, fork-race, certain, inferred, holders 25189
