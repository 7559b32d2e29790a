# H2: a child forked for another job keeps its untouched pair. The same picture
# as a child that is still to answer, hence only likely.
0ms     process 500 server
1ms     500 pipe 3 4
2ms     500 fork 501
3ms     500 close 4
4ms     500 read 3
expect by 1254ms: hang, leaked, fork, likely, exact, reader 500, fd 3, holders 501, 501 via fork, 501 is child, 501 unused, 501 holds 3r 4w, timeline pipe@500 fork@500 close@500 read@500
60s     501 exit
expect by 60250ms: resolved, eof, freed by 501 exit
