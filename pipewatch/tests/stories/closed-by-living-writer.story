# As h18, but the writer has closed its end and lives on: it may have started the
# program for it to write there, so that nothing is certain, and nobody is gone.
0ms     process 500 shell
0ms     process 600 cat
1ms     500 open f w 8
2ms     600 open f r 3
3ms     500 write 8
4ms     600 read 3
5ms     500 fork 501
6ms     501 exec sleep
7ms     500 close 8
8ms     600 read 3
expect by 1258ms: hang, leaked, fork, likely, inferred, reader 600, fifo, holders 501, 501 holds 8w
silence until 20s
20s     501 exit
expect by 20250ms: resolved, eof, reader 600, freed by 501 exit
