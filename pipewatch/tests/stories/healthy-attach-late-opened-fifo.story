# Attached late to a FIFO that a shell has opened for a program it started in the background.
0ms     process 500 cat
1ms     500 open q r 3
1ms     500 fork 501
2ms     501 open q w 1
3ms     501 fork 502
3ms     502 exec sleep
4ms     501 exit
5ms     500 read 3
2s      attach
silence until 9s
