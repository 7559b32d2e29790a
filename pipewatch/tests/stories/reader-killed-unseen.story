# The same, but the event is lost. What is left of the reader in the task list
# is no reader.
0ms     process 400 parent
0ms     400 fork 500
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     500 close 4
4ms     500 read 3
expect by 1254ms: hang, leaked, fork, reader 500
3000ms  lose 9
3000ms  400 kill 500
expect by 9250ms: resolved, reader-gone, reader 500, freed by nobody
