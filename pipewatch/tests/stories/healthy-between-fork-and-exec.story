# The picture of H1, but the child is about to execute a program, which closes
# its copies: it is late, yet not too late.
0ms     process 912 agent
0ms     912 thread 934 pusher
0ms     912 thread 921 updater
1ms     934 pipe 18 19 cloexec
2ms     921 fork 25189
3ms     934 close 19
4ms     934 read 18
980ms   25189 exec program
silence until 10s
