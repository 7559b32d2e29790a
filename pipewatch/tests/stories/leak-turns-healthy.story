# An heir reported as idle shows that it knows the pipe after all: it puts the
# write end to another number, as a late redirection does. The verdict is taken
# back by an update.
0ms     process 500 parent
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     500 close 4
4ms     500 read 3
expect by 1254ms: hang, leaked, fork, likely, holders 501, 501 unused
5000ms  501 dup 4 1
expect by 5250ms: update, waiting, holders 501, 501 used
9000ms  501 exit
expect by 9250ms: resolved, eof, freed by 501 exit
