# A child answers before its parent lets go, and will again. Something was lost in between:
# what the tables show anew does not make its answer older than the fork.
0ms     process 500 server
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     501 write 4
300ms   rescan
301ms   500 close 4
302ms   500 read 3
303ms   500 read 3
silence until 20s
