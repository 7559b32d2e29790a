# One thread reads, others write: the creator keeps its end on purpose.
0ms     process 500 service
0ms     500 thread 501 loop
0ms     500 thread 502 worker
1ms     500 pipe 3 4 cloexec
2ms     501 read 3
10s     502 write 4
10001ms 501 read 3
silence until 60s
