# pipewatch --all | cat: cat waits for pipewatch, which says nothing of that.
0ms     process 500 shell
1ms     500 pipe 3 4
2ms     500 fork 2
3ms     2 dup 4 1
3ms     2 close_range 3 4
3ms     2 exec pipewatch
4ms     500 fork 502
5ms     502 dup 3 0
5ms     502 close_range 3 4
5ms     502 exec cat
6ms     500 close_range 3 4
7ms     502 read 0
8ms     attach
silence until 20s
