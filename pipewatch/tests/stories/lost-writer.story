# All that the command did is lost. It wrote before it ended.
0ms     process 400 script
0ms     400 fork 500
0ms     500 exec shell
1ms     500 pipe 3 4
2ms     lose 100
2ms     500 fork 501
3ms     501 dup 4 1
3ms     501 close 3
3ms     501 close 4
4ms     501 fork 502
5ms     502 exec sleep
5ms     lose 0
6ms     500 close 4
7ms     500 read 3
8ms     501 write 1
9ms     500 read 3
9ms     lose 1
10ms    501 exit
expect by 2500ms: hang, orphaned, likely, inferred, reader 500, holders 502
silence until 20s
