# Who was passed the end hands it to a child, which was asked for the work.
0ms     process 500 sender
0ms     process 600 server
1ms     500 pipe 3 4
2ms     500 send 4
3ms     500 close 4
4ms     600 receive 9
5ms     600 fork 601
6ms     600 close 9
7ms     500 read 3
silence until 5s
5s      601 write 9
