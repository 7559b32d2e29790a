# What the first snapshot does not show any more is told by events before it.
0ms     process 500 server
1ms     watch 500
2ms     500 pipe 3 4
3ms     500 fork 501
4ms     501 exit
5ms     500 reap 501
6ms     500 close 3
7ms     500 close 4
8ms     attach
1000ms  500 exit
1100ms  process 600 other
expect idle
