# All is lost that would tell what the child did. It has the write end twice, one of which it
# made to use it.
0ms     process 500 server
1ms     lose 9
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     501 dup 4 9
4ms     500 close 4
5ms     500 read 3
silence until 20s
