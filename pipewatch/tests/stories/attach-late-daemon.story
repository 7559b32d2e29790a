# Attached late to H7: what the gone shell has left behind has the pipe as standard output
# and as standard error.
0ms     process 400 make
0ms     400 fork 500
1ms     500 pipe 3 4 cloexec
2ms     500 fork 501
3ms     501 dup 4 1
3ms     501 dup 4 2
3ms     501 exec sh
4ms     500 close 4
5ms     501 fork 502
6ms     502 exec sleep
7ms     500 read 3
10ms    501 exit
2s      attach
expect by 3250ms: hang, orphaned, likely, inferred, reader 500, holders 502, 502 holds 1w 2w
silence until 9s
