# The write end of one pipe is duplicated onto that of another: the first stays,
# the other is closed by it.
0ms     process 500 server
0ms     500 thread 510 forker
1ms     500 pipe 3 4
1ms     500 pipe 5 6
2ms     510 fork 501
3ms     500 dup 4 6
4ms     500 read 5
expect by 1254ms: hang, leaked, fork-race, certain, exact, fd 5, 501 holds 5r 6w, timeline pipe@500 fork@510 close@500 read@500
