# H2 by readv.
0ms     process 500 server
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     500 close 4
4ms     500 readv 3
expect by 1254ms: hang, leaked, fork, reader 500, fd 3, in readv
