# H13: the write end is on its way in a socket, in no table at all.
0ms     process 500 sender
1ms     500 pipe 3 4
2ms     500 send 4
3ms     500 close 4
4ms     500 read 3
expect by 1254ms: hang, in-flight, passed, likely, reader 500
silence until 20s
