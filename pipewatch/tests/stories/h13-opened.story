# A process opened the FIFO by its path and passed that on: who has it now may
# be meant to write, but never does. The process that opened it lives on, so nobody is gone.
0ms     process 500 reader
0ms     process 600 opener
0ms     process 700 keeper
1ms     500 open f r 3
2ms     600 open f w 5
3ms     600 fork 601
4ms     600 close 5
5ms     500 read 3
expect by 1255ms: hang, leaked, fork, likely, inferred, reader 500, fifo, holders 601
