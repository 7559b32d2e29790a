# A child answers before its parent has come round to closing its own write end,
# and will answer again.
0ms     process 500 server
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     501 write 4
4ms     500 close 4
5ms     500 read 3
6ms     500 read 3
silence until 9s
