# The reader is stopped and goes on later. The signal ends its sleep, not its
# wait: one hang, not two.
0ms     process 500 server
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     500 close 4
4ms     500 read 3
expect by 1254ms: hang, leaked, fork, reader 500
3000ms  1 signal 500 eintr
3000ms  1 stop 500
7000ms  1 cont 500
7000ms  500 read 3
silence until 10s
10s     501 exit
expect by 10250ms: resolved, eof, reader 500, freed by 501 exit
