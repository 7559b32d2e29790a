# A wait that ends before is not told.
pipewatch -t 30s
0ms     process 912 agent
0ms     912 thread 934 pusher
0ms     912 thread 921 updater
1ms     934 pipe 18 19 cloexec
2ms     921 fork 25189
3ms     934 close 19
4ms     934 read 18
29s     25189 exit
30s     934 pipe 20 21 cloexec
30001ms 921 fork 25190
30002ms 934 close 21
30003ms 934 read 20
silence until 60s
expect by 60253ms: hang, leaked, fork-race, certain, holders 25190
