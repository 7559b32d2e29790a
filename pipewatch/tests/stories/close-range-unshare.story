# A range is closed in a table that is made private first. That was no share of
# anybody's, so the table stays what it was, less the range: the heir closed its
# read end by a call of its own, and knows the pipe.
0ms     process 500 server
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     501 close_range 3 3 unshare
4ms     500 close 4
5ms     500 read 3
silence until 20s
