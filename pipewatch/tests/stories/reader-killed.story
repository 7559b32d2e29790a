# The reader is killed; its parent has not waited for it yet.
0ms     process 400 parent
0ms     400 fork 500
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     500 close 4
4ms     500 read 3
expect by 1254ms: hang, leaked, fork, reader 500
3000ms  400 kill 500
expect by 3250ms: resolved, reader-gone, reader 500, freed by nobody
