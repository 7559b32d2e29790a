# The heir ends and its id is used again, and the events of that are lost. The
# new process inherits nothing from its namesake.
0ms     process 912 agent
0ms     912 thread 934 pusher
0ms     912 thread 921 updater
1ms     934 pipe 18 19 cloexec
2ms     921 fork 25189
3ms     934 close 19
4ms     934 read 18
expect by 1254ms: hang, leaked, fork-race, holders 25189
2000ms  lose 1
2000ms  25189 exit
expect by 2250ms: resolved, eof, reader 934, freed by 25189 exit
2001ms  912 reap 25189
2002ms  process 25189 other
2003ms  25189 pipe 18 19
2004ms  25189 fork 25190
2005ms  25189 close 19
2006ms  25189 read 18
expect by 3256ms: hang, leaked, fork, likely, reader 25189, holders 25190
