# H9: the worker whose pipe this is has answered and ended; one that was forked
# after it has a copy of its write end.
0ms     process 500 server
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     500 fork 502
4ms     501 write 4
5ms     500 close 4
6ms     500 read 3
7ms     500 read 3
10ms    501 exit
expect by 1265ms: hang, leaked, fork, likely, reader 500, holders 502
silence until 9s
