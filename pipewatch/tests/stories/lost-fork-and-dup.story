# The same, and the fork is lost too: what is not at the number that the pipe was made
# with was put there.
0ms     process 500 server
1ms     500 pipe 3 4
3ms     lose 6
3ms     500 fork 501
3ms     501 dup 4 9
3ms     501 close 4
4ms     500 close 4
5ms     500 read 3
silence until 20s
