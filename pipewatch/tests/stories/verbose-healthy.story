# With -v a healthy wait is told too, once, and its end.
pipewatch -v
0ms     process 500 shell
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     501 dup 4 1
3ms     501 close_range 3 4
4ms     501 exec sleep
5ms     500 fork 502
6ms     502 dup 3 0
6ms     502 close_range 3 4
7ms     502 exec cat
8ms     500 close_range 3 4
9ms     502 read 0
expect by 1259ms: hang, waiting, unknown, exact, reader 502, holders 501, 501 used, 501 execed, 501 is sibling, timeline pipe@500 fork@500 dup@501 exec@501 fork@500 close@502 close@500 read@502
silence until 20s
20s     501 exit
expect by 20250ms: resolved, eof, reader 502, freed by 501 exit
