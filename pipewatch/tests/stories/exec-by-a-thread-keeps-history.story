# A thread that is not the leader executes a program, which keeps the pipe its
# process has made. What was known of that is known still.
pipewatch -v
0ms     process 500 server
0ms     500 thread 510 other
1ms     500 pipe 3 4
2ms     510 exec server
3ms     500 fork 501
4ms     501 close 4
5ms     501 read 3
expect by 1255ms: hang, waiting, exact, created by 500, holders 500, 500 via exec
