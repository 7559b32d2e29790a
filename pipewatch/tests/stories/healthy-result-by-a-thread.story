# One thread made the pipe, another one forked the child that is to answer, as a
# pool's helper thread does. A race by all signs, and cleared by the answer.
0ms     process 500 parent
0ms     500 thread 501 helper
1ms     500 pipe 3 4 cloexec
2ms     501 fork 502
3ms     500 close 4
4ms     500 read 3
300ms   502 write 4
301ms   500 read 3
silence until 60s
