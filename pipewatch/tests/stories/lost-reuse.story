# A pipe is closed and another one made at the same numbers, and that is lost.
# The new one has nothing to do with the history of the old one: not even its
# maker is known.
0ms     process 500 server
0ms     500 thread 510 forker
1ms     500 pipe 3 4
100ms   lose 3
100ms   500 close 3
100ms   500 close 4
100ms   510 pipe 3 4
200ms   510 fork 501
201ms   500 close 4
202ms   500 read 3
expect by 1452ms: hang, leaked, fork, likely, inferred, reader 500, holders 501
silence until 20s
