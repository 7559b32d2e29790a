# Events were lost before the pipe was made: its history is complete.
0ms     process 912 agent
0ms     912 thread 934 pusher
0ms     912 thread 921 updater
1ms     lose 1
1ms     934 pipe 18 19 cloexec
2000ms  934 pipe 28 29 cloexec
2001ms  921 fork 25189
2002ms  934 close 29
2003ms  934 read 28
expect by 3253ms: hang, leaked, fork-race, certain, exact, holders 25189
