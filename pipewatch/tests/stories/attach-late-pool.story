# Attached late to H12: the creator has died, its workers hold each other's ends.
0ms     process 500 server
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     500 fork 502
4ms     501 read 3
5ms     500 exit
2s      attach
expect by 3250ms: hang, leaked, fork, inferred, reader 501, holders 502 501
silence until 9s
