# H4: Rust waits for its child's exec on a pair of sockets; another thread's
# child has copies of both.
0ms     process 500 rust
0ms     500 thread 510 other
1ms     500 socketpair 3 4
2ms     510 fork 600
3ms     500 fork 501
4ms     501 close 3
5ms     501 cloexec 4 on
6ms     501 exec true
7ms     500 close 4
8ms     500 recv 3
expect by 1260ms: hang, leaked, fork-race, certain, exact, reader 500, in recv, socketpair, holders 600
20s     600 exit
expect by 20250ms: resolved, eof, freed by 600 exit
