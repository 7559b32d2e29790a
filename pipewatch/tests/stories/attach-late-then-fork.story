# The pipe was there when pipewatch came, the fork was seen.
0ms     process 500 server
1ms     500 pipe 3 4
5000ms  attach
5001ms  500 fork 501
5002ms  500 close 4
5003ms  500 read 3
expect by 6253ms: hang, leaked, fork, likely, inferred, reader 500, holders 501
silence until 20s
