# Two heirs use one table. Both are named, and the last of them frees the reader.
0ms     process 500 server
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     501 fork 502 sharing
4ms     500 close 4
5ms     500 read 3
expect by 1255ms: hang, leaked, fork, holders 501 502
5000ms  501 exit
expect by 10s: update, leaked, holders 502
11000ms 502 exit
expect by 11250ms: resolved, eof, freed by 502 exit
