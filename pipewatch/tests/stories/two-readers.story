# Two threads read one pipe: two waits. A byte ends one of them, the last close
# the other.
0ms     process 500 server
0ms     500 thread 510 reader
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     500 close 4
4ms     500 read 3
5ms     510 read 3
expect by 1254ms: hang, leaked, fork, reader 500, holders 501
expect by 1255ms: hang, leaked, fork, reader 510, holders 501
3000ms  501 write 4
expect by 3250ms: resolved, data, reader 500
# The heir has answered: what the other thread waits for is healthy.
expect by 9s: update, waiting, reader 510, 501 used
10s     501 exit
expect by 10250ms: resolved, eof, reader 510, freed by 501 exit
