# What a shell has left in the background prints less often than the threshold: a hang it
# may be, and is none.
0ms     process 500 bash
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     501 dup 4 1
3ms     501 close 3
3ms     501 close 4
4ms     500 close 4
5ms     501 fork 502
6ms     502 exec loop
7ms     501 exit
8ms     500 read 3
expect by 1260ms: hang, orphaned, fork, likely, exact, reader 500, holders 502
1500ms  502 write 1
expect by 1750ms: resolved, data
1600ms  500 read 3
silence until 20s
