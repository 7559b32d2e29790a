# What the command wrote is taken for an answer of whom it left behind, unless it is
# known that the command had the write end until then: its end was lost.
0ms     process 500 shell
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     501 dup 4 1
3ms     501 close 3
3ms     501 close 4
4ms     500 close 4
5ms     500 read 3
6ms     501 fork 502
7ms     502 exec sleep
8ms     501 write 1
9ms     500 read 3
10ms    lose 1
10ms    501 exit
expect by 2500ms: hang, orphaned, fork, likely, inferred, reader 500, holders 502
silence until 20s
