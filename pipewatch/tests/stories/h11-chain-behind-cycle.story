# Who reads the output of a program whose workers hold each other's write ends
# waits for them, but is no part of their cycle: two hangs, not three.
0ms     process 400 runner
0ms     400 pipe 3 4 cloexec
0ms     400 fork 500
0ms     500 dup 4 1
0ms     500 exec master
0ms     400 close 4
0ms     400 read 3
1ms     500 pipe 3 4
1ms     500 pipe 5 6
2ms     500 fork 501
2ms     501 close 4
3ms     500 fork 502
3ms     502 close 6
4ms     500 close_range 3 6
5ms     501 read 3
6ms     502 read 5
7ms     500 waitpid
expect by 1255ms: hang, leaked, fork, certain, exact, reader 501, holders 502
expect by 1256ms: hang, leaked, fork, certain, exact, reader 502, holders 501
silence until 20s
