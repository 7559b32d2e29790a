# The hard pair: a forked child computes, then answers. Nothing tells it from an
# idle heir until it writes. Once it has, later waits on this pipe are healthy.
0ms     process 500 parent
1ms     500 pipe 3 4 cloexec
2ms     500 fork 501
3ms     500 close 4
4ms     500 read 3
expect by 1254ms: hang, leaked, fork, likely, exact, holders 501
5000ms  501 write 4
expect by 5250ms: resolved, data, reader 500, freed by nobody
5001ms  500 read 3
silence until 60s
60s     501 exit
