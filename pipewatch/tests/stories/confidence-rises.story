# Only likely while the creator lives, certain once it has ended.
pipewatch --min-confidence certain
0ms     process 500 master
1ms     500 pipe 3 4
2ms     500 fork 501
2ms     501 close 4
3ms     500 fork 502
4ms     500 close 3
4ms     500 close 4
5ms     501 read 3
silence until 20s
20s     500 exit
expect by 26s: hang, leaked, fork, certain, reader 501, holders 502
