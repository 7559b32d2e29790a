# What a gone command left in the background writes now and then, shortly before
# the reader has waited long enough.
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
11ms    500 recv 10
800ms   502 write 1
810ms   500 recv 10
1600ms  502 write 1
1610ms  500 recv 10
2400ms  502 write 1
silence until 5s
