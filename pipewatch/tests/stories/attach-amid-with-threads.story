# The first snapshot shows an heir with two threads, whose fork is told after.
# When one of them ends, the heir still holds what it held.
0ms     process 912 agent
0ms     912 thread 934 pusher
0ms     912 thread 921 updater
1ms     watch 912
2ms     934 pipe 18 19 cloexec
3ms     921 fork 25189
4ms     25189 thread 25190 helper
5ms     attach
100ms   25190 leave
101ms   934 close 19
102ms   934 read 18
expect by 1352ms: hang, leaked, fork-race, certain, exact, holders 25189
