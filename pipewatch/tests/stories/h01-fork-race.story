# H1: another thread forks between the creation of the pipe and the close. The
# child never executes a program, so close-on-exec does not help.
0ms     process 912 agent
0ms     912 thread 934 pusher
0ms     912 thread 921 updater
1ms     934 pipe 18 19 cloexec
2ms     921 fork 25189
3ms     934 close 19
4ms     934 read 18
expect by 1254ms: hang, leaked, fork-race, certain, exact, reader 934, fd 18, in read, created by 934, holders 25189, 25189 via fork, 25189 is child, 25189 unused, 25189 holds 18r 19w, timeline pipe@934 fork@921 close@934 read@934, 25189 heir
8000ms  25189 exit
expect by 8250ms: resolved, eof, reader 934, fd 18, freed by 25189 exit
