# Something of another process is lost. That the reader has opened the FIFO itself, to
# keep it open, shows the table all the same.
0ms     process 500 starter
0ms     500 open f w 4
1ms     500 fork 501
1ms     500 fork 502
2ms     501 open f rw 8
3ms     500 exit
4ms     lose 1
4ms     502 close 4
200ms   501 fork 503
201ms   501 read 8
silence until 20s
