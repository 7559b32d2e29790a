# GNU make's jobserver: everybody has both ends, a recipe's make waits for a
# token.
0ms     process 500 make
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     501 exec make
4ms     500 fork 502
5ms     502 exec cc
6ms     501 read 3
silence until 60s
60s     502 exit
60001ms 500 write 4
