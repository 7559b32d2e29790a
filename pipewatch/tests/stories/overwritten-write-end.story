# The creator lets go of its write end by duplicating something else onto it,
# and so does the heir at last.
0ms     process 500 server
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     500 overwrite 4
4ms     500 read 3
expect by 1254ms: hang, leaked, fork, likely, exact, timeline pipe@500 fork@500 close@500 read@500
5000ms  501 overwrite 4
expect by 5250ms: resolved, eof, freed by 501 close
