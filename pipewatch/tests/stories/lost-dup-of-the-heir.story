# A child duplicates the write end to a number of its choice, to use it there, and that is
# lost. The tables show it at that number all the same.
0ms     process 500 server
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     lose 2
3ms     501 dup 4 9
3ms     501 close 4
4ms     500 close 4
5ms     500 read 3
silence until 20s
