# H2 on a duplicate of the read end. That the creator put its read end where it
# wanted says nothing of the heir.
0ms     process 500 server
1ms     500 pipe 3 4
1ms     500 dup 3 9
2ms     500 fork 501
3ms     500 close 4
4ms     500 read 9
expect by 1254ms: hang, leaked, fork, likely, exact, fd 9, 501 holds 3r 4w 9r
