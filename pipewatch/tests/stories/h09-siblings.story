# H9: workers hold each other's write ends. Each closed only its own, the parent
# closed all. When one is killed the other gets its EOF.
0ms     process 500 master
1ms     500 pipe 3 4
1ms     500 pipe 5 6
2ms     500 fork 501
2ms     501 close 4
3ms     500 fork 502
3ms     502 close 6
4ms     500 close_range 3 6
5ms     501 read 3
6ms     502 read 5
expect by 1255ms: hang, leaked, fork, certain, exact, reader 501, fd 3, holders 502, 502 is sibling
expect by 1256ms: hang, leaked, fork, certain, exact, reader 502, fd 5, holders 501, 501 is sibling
9000ms  500 kill 501
expect by 9250ms: resolved, reader-gone, reader 501
expect by 9250ms: resolved, eof, reader 502, freed by 501 exit
