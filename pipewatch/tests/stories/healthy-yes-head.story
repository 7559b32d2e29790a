# yes | head: data flows, the reader goes first.
0ms     process 500 shell
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     501 dup 4 1
3ms     501 close_range 3 4
3ms     501 exec yes
4ms     500 fork 502
5ms     502 dup 3 0
5ms     502 close_range 3 4
5ms     502 exec head
6ms     500 close_range 3 4
7ms     502 read 0
8ms     501 write 1
9ms     501 write 1
10ms    502 read 0
11ms    502 exit
12ms    501 exit
13ms    500 reap 501
13ms    500 reap 502
