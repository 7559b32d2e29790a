# H14: the loop waits for the end of a pipe whose untouched copy a child keeps.
0ms     process 500 server
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     500 close 4
4ms     500 poll 3
expect by 1260ms: hang, leaked, fork, likely, exact, reader 500, in poll, holders 501
5s      501 exit
expect by 5250ms: resolved, eof, freed by 501 exit
