# The reader that holds its own write end is killed: it got no end of file.
0ms     process 500 reader
1ms     500 pipe 3 4
2ms     500 read 3
expect by 1252ms: hang, self-held, reader 500
3000ms  1 kill 500
expect by 3250ms: resolved, reader-gone, reader 500
