# sleep 100 | cat: the writer says nothing for long, but it is the very process
# the shell put there.
0ms     process 500 shell
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     501 dup 4 1
3ms     501 close 3
3ms     501 close 4
4ms     501 exec sleep
5ms     500 fork 502
6ms     502 dup 3 0
6ms     502 close 3
6ms     502 close 4
7ms     502 exec cat
8ms     500 close 3
8ms     500 close 4
9ms     502 read 0
silence until 100s
100s    501 exit
