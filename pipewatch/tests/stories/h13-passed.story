# H13: the write end was passed to another process, which keeps it.
0ms     process 500 sender
0ms     process 600 keeper
1ms     500 pipe 3 4
2ms     500 send 4
3ms     600 receive 9
4ms     500 close 4
5ms     500 read 3
expect by 1255ms: hang, leaked, passed, likely, inferred, reader 500, holders 600, 600 via passed, 600 unused
20s     600 exit
expect by 20250ms: resolved, eof, freed by 600 exit
