# Attached late: a child with an untouched pair, but somebody has written to the
# pipe before. It may have been the child, which may do so again.
0ms     process 500 server
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     500 close 4
4ms     501 write 4
5ms     500 read 3
6ms     500 read 3
2s      attach
silence until 9s
