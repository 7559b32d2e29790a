# { while :; do …; done; } | cat: the left side executes no program. That it
# arranged its ends shows that it knows them.
0ms     process 500 shell
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     501 dup 4 1
3ms     501 close 3
3ms     501 close 4
4ms     500 fork 502
5ms     502 dup 3 0
5ms     502 close 3
5ms     502 close 4
6ms     502 exec cat
7ms     500 close_range 3 4
8ms     502 read 0
silence until 60s
