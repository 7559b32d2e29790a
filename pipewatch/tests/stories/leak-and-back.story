# A leak that looks healthy for a while: the heir passes its end to a stranger,
# who puts it to use, and ends. What is not reported is
# found by looking now and then.
0ms     process 500 server
0ms     process 600 stranger
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     500 close 4
4ms     500 read 3
expect by 1254ms: hang, leaked, fork, likely, holders 501
2000ms  501 send 4
2000ms  600 receive 9
2000ms  600 dup 9 1
expect by 7s: update, waiting, holders 501 600, 600 via dup
8000ms  600 exit
expect by 14s: leaked, fork, likely, holders 501
20s     501 exit
expect by 20250ms: resolved, eof, freed by 501 exit
