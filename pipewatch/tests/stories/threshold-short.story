# A hang is what lasts as long as one says.
pipewatch -t 250ms
0ms     process 912 agent
0ms     912 thread 934 pusher
0ms     912 thread 921 updater
1ms     934 pipe 18 19 cloexec
2ms     921 fork 25189
3ms     934 close 19
4ms     934 read 18
silence until 250ms
expect by 504ms: hang, leaked, fork-race, certain
