# A lifeline: only the creator, alive, holds the write end. Its end is the
# message.
0ms     process 500 master
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     501 close 4
4ms     501 read 3
silence until 60s
60s     1 kill 500
