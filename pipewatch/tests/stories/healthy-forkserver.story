# A write end is sent to a server, which forks a worker to answer: it came at
# another number and on purpose, though how it came was not seen.
0ms     process 500 client
0ms     process 600 forkserver
1ms     500 pipe 3 4
2ms     500 send 4
3ms     600 receive 14
4ms     500 close 4
5ms     600 fork 601
6ms     600 close 14
7ms     500 read 3
silence until 5s
