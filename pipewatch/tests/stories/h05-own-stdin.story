# H5 (b): a child is given the write end of its own stdin.
0ms     process 500 launcher
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     501 dup 3 0
4ms     501 exec cat
5ms     500 close 3
5ms     500 close 4
6ms     501 read 0
expect by 1256ms: hang, self-held, exec, certain, exact, reader 501, fd 0, holders 501, 501 is itself
silence until 20s
