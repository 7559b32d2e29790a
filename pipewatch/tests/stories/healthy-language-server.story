# A tool server idle in read on stdin: the writer is the live creator.
0ms     process 500 editor
1ms     500 pipe 3 4 cloexec
2ms     500 fork 501
3ms     501 dup 3 0
4ms     501 exec server
5ms     500 close 3
6ms     501 read 0
7ms     500 write 4
8ms     501 read 0
silence until 60s
