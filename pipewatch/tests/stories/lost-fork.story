# The fork of the heir is lost. Nobody knows how it came by its end.
0ms     process 912 agent
0ms     912 thread 934 pusher
0ms     912 thread 921 updater
1ms     934 pipe 18 19 cloexec
2ms     lose 4
2ms     921 fork 25189
3ms     934 close 19
4ms     934 read 18
expect by 1254ms: hang, leaked, fork, likely, inferred, reader 934, holders 25189
silence until 20s
