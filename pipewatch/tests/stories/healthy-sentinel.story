# multiprocessing's sentinel: the child holds the write end for life and never
# writes; its death is the message. It closed its read end, so it knows the pipe.
0ms     process 500 executor
1ms     500 pipe 3 4 cloexec
2ms     500 fork 501
3ms     501 close 3
4ms     500 close 4
5ms     500 read 3
silence until 60s
60s     501 exit
