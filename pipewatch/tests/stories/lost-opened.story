# A process that is older than the pipe has opened it by a path, to write.
0ms     process 500 reader
0ms     process 600 opener
1ms     lose 1
1ms     600 pipe 30 31
500ms   500 pipe 3 4
501ms   600 open /proc/500/fd/4 w 9
502ms   500 close 4
503ms   rescan
504ms   500 read 3
silence until 20s
