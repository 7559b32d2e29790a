# What the ended command left behind goes on to report now and then. Sockets do
# not count what is written; the wake-ups tell.
0ms     process 500 node
1ms     500 socketpair 10 11
2ms     500 fork 501
3ms     501 dup 11 1
4ms     501 close 10
5ms     501 close 11
6ms     501 exec sh
7ms     500 close 11
8ms     501 fork 502
10ms    501 exit
11ms    500 poll 10
700ms   502 write 1
701ms   500 recv 10
702ms   500 poll 10
1400ms  502 write 1
1401ms  500 recv 10
1402ms  500 poll 10
2100ms  502 write 1
2101ms  500 recv 10
2102ms  500 poll 10
2800ms  502 write 1
silence until 5s
