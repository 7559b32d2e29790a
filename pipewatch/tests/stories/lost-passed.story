# H13, while events are lost. The keeper is older than the pipe, so no fork has brought
# it the end.
0ms     process 500 sender
0ms     process 600 keeper
1ms     lose 1
1ms     600 pipe 30 31
500ms   500 pipe 3 4
501ms   500 send 4
502ms   600 receive 9
503ms   500 close 4
504ms   rescan
505ms   500 read 3
expect by 1755ms: hang, leaked, passed, likely, inferred, reader 500, holders 600, 600 unused
silence until 20s
