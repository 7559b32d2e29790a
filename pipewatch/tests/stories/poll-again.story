# Who polls again after a while waits anew, though the wait before was healthy for so
# long that nobody looked at it when it was over.
0ms     process 500 server
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     501 dup 4 5
4ms     501 close 4
5ms     500 close 4
6ms     500 poll 3
81s     501 signal 500 eintr
95s     500 poll 3
105s    501 fork 502
106s    501 exit
expect by 107260ms: hang, orphaned, reader 500, in poll, since 95000 ms, holders 502
