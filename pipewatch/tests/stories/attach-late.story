# Everything has happened when pipewatch comes.
0ms     process 500 server
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     500 close 4
4ms     500 read 3
5000ms  attach 500
expect by 5250ms: hang, leaked, fork, likely, inferred, reader 500, holders 501
silence until 20s
