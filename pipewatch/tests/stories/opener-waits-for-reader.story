# A shell has opened a FIFO for reading and writing, and waits for a program that reads
# it to the end: that has the write end too, and nobody is gone.
0ms     process 500 shell
1ms     500 open f rw 3
2ms     500 fork 501
3ms     501 exec cat
4ms     501 open f r 4
5ms     501 read 4
6ms     500 waitpid 501
expect by 1255ms: hang, leaked, fork, certain, inferred, reader 501, fifo, holders 500 501
