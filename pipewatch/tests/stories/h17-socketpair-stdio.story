# H17: a command with a socket as its standard output has ended; what it left in
# the background still holds that. So Node gives stdio to its children.
0ms     process 500 node
1ms     500 socketpair 10 11
2ms     500 fork 501
3ms     501 dup 11 1
4ms     501 close 10
5ms     501 close 11
6ms     501 exec sh
7ms     500 close 11
8ms     501 fork 502
9ms     502 exec sleep
10ms    501 exit
11ms    500 recv 10
expect by 1265ms: hang, orphaned, fork, likely, exact, reader 500, in recv, socketpair, holders 502, 502 holds 1w
20s     502 exit
expect by 20250ms: resolved, eof, freed by 502 exit
