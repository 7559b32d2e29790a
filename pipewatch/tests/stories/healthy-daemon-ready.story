# A daemon's readiness: the process in between forks and ends, the grandchild
# answers when it is ready. Until then it looks like an orphan, so it may be told
# as likely, but nobody can be certain: it never ran another program.
0ms     process 500 starter
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     501 close 3
4ms     500 close 4
5ms     501 fork 502
6ms     501 exit
7ms     500 read 3
expect by 1257ms: hang, orphaned, fork, likely, exact, reader 500, holders 502
3000ms  502 write 4
expect by 3250ms: resolved, data, reader 500
