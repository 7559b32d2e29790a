# The heir's id belongs to another process by the time of the second wait. That
# one holds nothing.
0ms     process 912 agent
0ms     912 thread 934 pusher
0ms     912 thread 921 updater
1ms     934 pipe 18 19 cloexec
2ms     921 fork 25189
3ms     934 close 19
4ms     934 read 18
500ms   25189 exit
501ms   912 reap 25189
502ms   process 25189 other
503ms   934 close 18
504ms   934 pipe 18 19 cloexec
505ms   921 fork 25190
506ms   934 close 19
507ms   934 read 18
expect by 1757ms: hang, leaked, fork-race, holders 25190
