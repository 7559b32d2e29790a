# A signal kills the reader, which takes its time to die: on a host with much to
# do it does not get a CPU for that at once.
0ms     process 500 server
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     500 close 4
4ms     500 read 3
expect by 1254ms: hang, leaked, fork, reader 500
3000ms  1 signal 500 eintr
3180ms  500 exit
expect by 3430ms: resolved, reader-gone, reader 500, freed by nobody
