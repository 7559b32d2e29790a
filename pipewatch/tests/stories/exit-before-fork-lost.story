# The same, and the beginning is lost.
0ms     process 500 server
0ms     watch 500
0ms     attach
1ms     500 pipe 3 4
2ms     lose 4
2ms     500 fork 501
3ms     501 exit
4ms     500 close 4
5ms     500 read 3
6ms     500 exit
1000ms  process 600 other
expect idle
