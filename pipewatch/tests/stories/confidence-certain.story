# Only what cannot be meant: the plain fork is left out, the race is told.
pipewatch --min-confidence certain
0ms     process 500 server
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     500 close 4
4ms     500 read 3
silence until 10s
10s     process 912 agent
10s     912 thread 934 pusher
10s     912 thread 921 updater
10001ms 934 pipe 18 19 cloexec
10002ms 921 fork 25189
10003ms 934 close 19
10004ms 934 read 18
expect by 11254ms: hang, leaked, fork-race, certain, reader 934
