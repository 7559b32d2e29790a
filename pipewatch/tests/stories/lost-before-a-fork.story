# Something was lost, and the tables are read anew before the events of the fork and
# the close: they tell again what the tables show already, of a table that does not
# hold the write end any more. The child has not got its end from anybody else.
0ms     process 912 agent
0ms     912 thread 934 pusher
0ms     912 thread 921 updater
1ms     934 pipe 18 19 cloexec
200ms   921 fork 25189
201ms   934 close 19
202ms   rescan
203ms   934 read 18
expect by 1453ms: hang, leaked, fork-race, certain, inferred, reader 934, holders 25189
silence until 20s
