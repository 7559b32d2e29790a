# svc | logger under a supervisor, which keeps the write end, so that the logger
# survives restarts of the service.
0ms     process 500 supervisor
1ms     500 pipe 3 4 cloexec
2ms     500 fork 501
3ms     501 dup 4 1
3ms     501 exec service
4ms     500 fork 502
5ms     502 dup 3 0
5ms     502 exec logger
6ms     502 read 0
30s     501 exit
31s     500 reap 501
silence until 60s
