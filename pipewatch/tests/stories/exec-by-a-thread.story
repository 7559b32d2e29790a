# A thread that is not the leader executes a program and goes on under the
# leader's id. It had slept in a read before, which must not keep pipewatch busy.
0ms     process 500 server
0ms     500 thread 510 other
1ms     500 pipe 3 4 cloexec
2ms     510 read 3
100ms   500 write 4
101ms   510 exec server
102ms   500 pipe 18 19
103ms   500 thread 520 forker
104ms   520 fork 501
105ms   500 close 19
106ms   500 read 18
expect by 1356ms: hang, leaked, fork-race, certain, exact, reader 500, holders 501
