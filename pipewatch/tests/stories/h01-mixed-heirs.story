# One heir by a race and one by a fork of the pipe's own thread: the race does
# not explain all of it, so that the cause is the plain fork, which may be meant.
0ms     process 912 agent
0ms     912 thread 934 pusher
0ms     912 thread 921 updater
1ms     934 pipe 18 19 cloexec
2ms     921 fork 25189
3ms     934 fork 25190
4ms     934 close 19
5ms     934 read 18
expect by 1255ms: hang, leaked, fork, likely, exact, holders 25189 25190
2000ms  25190 exit
expect by 2250ms: update, leaked, fork-race, certain, holders 25189
