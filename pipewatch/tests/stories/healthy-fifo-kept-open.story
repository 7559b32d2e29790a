# cat on a FIFO that a supervisor keeps open for reading and writing.
0ms     process 500 supervisor
0ms     process 600 cat
1ms     500 open f rw 3
2ms     600 open f r 3
3ms     600 read 3
silence until 60s
